/* Two structs of operations with data beside the functions, and a program of which nothing is made. */
#include "proof.h"

struct sock;
struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	__u32 flags;
	char name[16];
};

SEC("struct_ops/threshold") __u32 BPF_PROG(threshold, struct sock *sk) { runs++; return 2; }
SEC("struct_ops/avoid") void BPF_PROG(avoid, struct sock *sk, __u32 ack, __u32 acked) { runs++; }
SEC("struct_ops/undo") __u32 BPF_PROG(undo, struct sock *sk) { return 3; }
SEC("struct_ops/undo_otherwise") __u32 BPF_PROG(undo_otherwise, struct sock *sk) { return 4; }

SEC(".struct_ops") struct tcp_congestion_ops one = {
	.ssthresh = (void *)threshold, .cong_avoid = (void *)avoid, .undo_cwnd = (void *)undo, .name = "bpf_one",
};
SEC(".struct_ops") struct tcp_congestion_ops two = {
	.ssthresh = (void *)threshold, .cong_avoid = (void *)avoid, .undo_cwnd = (void *)undo_otherwise,
	.flags = 2, .name = "bpf_two",
};
