/* A congestion control that is registered by a link. */
#include "proof.h"

struct sock;
struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	void (*set_state)(struct sock *sk, __u8 new_state);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
	void *owner;
};

SEC("struct_ops/threshold") __u32 BPF_PROG(threshold, struct sock *sk) { runs++; return 2; }
SEC("struct_ops/avoid") void BPF_PROG(avoid, struct sock *sk, __u32 ack, __u32 acked) { runs++; }
SEC("struct_ops.s/undo") __u32 BPF_PROG(undo, struct sock *sk) { runs++; return 3; }

SEC(".struct_ops.link") struct tcp_congestion_ops proof = {
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "bpf_proof_link",
};
