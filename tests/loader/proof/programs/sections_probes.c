/* Section names of programs for probes and tracepoints that need no BTF to be loaded. */
#include "proof.h"

#define PROBE(section, name) \
	SEC(section) int on_##name(struct pt_regs *ctx) { count(); return PT_REGS_IP(ctx) ? 0 : 1; }

/* Only programs that may sleep may call this helper. */
#define SLEEPING(section, name, context) \
	SEC(section) int on_##name(context ctx) \
	{ \
		count(); \
		return bpf_copy_from_user(&runs, sizeof(runs), (void *)(long)which) ? 0 : 1; \
	}

PROBE("kprobe", kprobe)
PROBE("kprobe/do_unlinkat", kprobe_target)
PROBE("kretprobe/do_unlinkat", kretprobe)
PROBE("uprobe//bin/sh:main", uprobe)
PROBE("uretprobe//bin/sh:main", uretprobe)
SLEEPING("uprobe.s//bin/sh:main", uprobe_sleepable, struct pt_regs *)
SLEEPING("uretprobe.s//bin/sh:main", uretprobe_sleepable, struct pt_regs *)
PROBE("kprobe.multi/do_*", kprobe_multi)
PROBE("kretprobe.multi/do_*", kretprobe_multi)
PROBE("kprobe.session/do_*", kprobe_session)
PROBE("uprobe.multi//bin/sh:main*", uprobe_multi)
PROBE("uretprobe.multi//bin/sh:main*", uretprobe_multi)
PROBE("uprobe.session//bin/sh:main*", uprobe_session)
SLEEPING("uprobe.multi.s//bin/sh:main*", uprobe_multi_sleepable, struct pt_regs *)
SLEEPING("uretprobe.multi.s//bin/sh:main*", uretprobe_multi_sleepable, struct pt_regs *)
SLEEPING("uprobe.session.s//bin/sh:main*", uprobe_session_sleepable, struct pt_regs *)
PROBE("ksyscall/unlink", ksyscall)
PROBE("kretsyscall/unlink", kretsyscall)
PROBE("usdt//bin/sh:provider:name", usdt)
SLEEPING("usdt.s//bin/sh:provider:name", usdt_sleepable, struct pt_regs *)

struct entry {
	__u64 common;
	long number;
};

#define TRACEPOINT(section, name) \
	SEC(section) int on_##name(struct entry *ctx) { count(); return ctx->number ? 1 : 0; }

TRACEPOINT("tracepoint/syscalls/sys_enter_unlink", tracepoint)
TRACEPOINT("tp/syscalls/sys_enter_unlink", tp)
SLEEPING("tracepoint.s/syscalls/sys_enter_unlink", tracepoint_sleepable, struct entry *)
SLEEPING("tp.s/syscalls/sys_enter_unlink", tp_sleepable, struct entry *)

#define RAW_TRACEPOINT(section, name) \
	SEC(section) int on_##name(struct bpf_raw_tracepoint_args *ctx) { count(); return ctx->args[0] ? 1 : 0; }

RAW_TRACEPOINT("raw_tracepoint/sys_enter", raw_tracepoint)
RAW_TRACEPOINT("raw_tp/sys_enter", raw_tp)
SLEEPING("raw_tracepoint.s/sys_enter", raw_tracepoint_sleepable, struct bpf_raw_tracepoint_args *)
SLEEPING("raw_tp.s/sys_enter", raw_tp_sleepable, struct bpf_raw_tracepoint_args *)
RAW_TRACEPOINT("raw_tracepoint.w/bpf_test_finish", raw_tracepoint_writable)
RAW_TRACEPOINT("raw_tp.w/bpf_test_finish", raw_tp_writable)

SEC("perf_event") int on_perf_event(struct bpf_perf_event_data *ctx) { count(); return ctx->sample_period ? 1 : 0; }

SLEEPING("syscall", syscall, void *)
