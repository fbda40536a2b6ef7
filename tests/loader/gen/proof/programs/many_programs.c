/* More programs than libbpf's loader programs have room for, of several types, each calling a function. */
#include "proof.h"

#define PROGRAM(n, type, context) \
	SEC(type) int program_##n(context) { count(); return n & 1; }
#define EIGHT(t) \
	PROGRAM(t##0, "xdp", struct xdp_md *ctx) PROGRAM(t##1, "tc", struct __sk_buff *skb) \
	PROGRAM(t##2, "socket", struct __sk_buff *skb) PROGRAM(t##3, "kprobe/vfs_read", void *ctx) \
	PROGRAM(t##4, "raw_tp/sys_enter", void *ctx) PROGRAM(t##5, "cgroup_skb/ingress", struct __sk_buff *skb) \
	PROGRAM(t##6, "tp/sched/sched_switch", void *ctx) PROGRAM(t##7, "perf_event", void *ctx)
EIGHT(1) EIGHT(2) EIGHT(3) EIGHT(4) EIGHT(5) EIGHT(6) EIGHT(7) EIGHT(8) EIGHT(9)
