#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u32 _version SEC("version") = 0x60000;
char _license[] SEC("license") = "Dual MIT/GPL";

__noinline int one(void)
{
	return 1;
}
