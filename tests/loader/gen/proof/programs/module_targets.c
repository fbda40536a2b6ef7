/* Functions to attach to, in a module that is named, in any, in the kernel itself. */
#include "proof.h"

SEC("fentry/nf_conntrack:nf_conntrack_in") int BPF_PROG(of_the_module) { return count(); }
SEC("fexit/nf_conntrack:nf_conntrack_in") int BPF_PROG(of_the_module_too) { return count(); }
SEC("fentry/nf_conntrack_in") int BPF_PROG(of_any) { return count(); }
SEC("fentry/vmlinux:vfs_read") int BPF_PROG(of_the_kernel) { return count(); }
SEC("fentry/vfs_read") int BPF_PROG(first_of_the_kernel) { return count(); }
