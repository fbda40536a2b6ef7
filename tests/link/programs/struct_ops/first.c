#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <bpf/bpf_tracing.h>

/* Two files, each with a congestion control of its own; the second one's undo is in the first file. */
struct sock;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct tcp_sock {
	__u32 snd_cwnd;
};
struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	void (*set_state)(struct sock *sk, __u8 new_state);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};
#pragma clang attribute pop

SEC("struct_ops/shared_undo") __u32 BPF_PROG(shared_undo, struct sock *sk)
{
	return ((struct tcp_sock *)sk)->snd_cwnd;
}

static __noinline __u32 half(struct sock *sk)
{
	return ((struct tcp_sock *)sk)->snd_cwnd >> 1;
}

SEC("struct_ops/first_ssthresh") __u32 BPF_PROG(first_ssthresh, struct sock *sk)
{
	return half(sk);
}

SEC("struct_ops/first_avoid") void BPF_PROG(first_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
}

SEC(".struct_ops") struct tcp_congestion_ops first = {
	.ssthresh = (void *)first_ssthresh,
	.cong_avoid = (void *)first_avoid,
	.undo_cwnd = (void *)shared_undo,
	.name = "link_first",
};

char LICENSE[] SEC("license") = "GPL";
