/* An instance of the kernel's struct of operations, an arena with data, an exception callback. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char license_text[] SEC("license") = "GPL";

struct {
	__uint(type, 33); /* ARENA */
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_MMAPABLE);
} arena SEC(".maps");
__attribute__((address_space(1))) int shared = 1;

struct sock;
struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
	void *owner;
};
int runs;
SEC("struct_ops") __u32 BPF_PROG(threshold, struct sock *sk) { runs++; return 2; }
SEC("struct_ops") void BPF_PROG(avoid, struct sock *sk, __u32 ack, __u32 acked) { runs++; }
SEC("struct_ops") __u32 BPF_PROG(undo, struct sock *sk) { return 3; }
SEC(".struct_ops.link") struct tcp_congestion_ops instance = {
	.ssthresh = (void *)threshold,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "hostile",
};

extern void bpf_throw(__u64) __ksym;
__attribute__((noinline)) int caught(__u64 cookie) { return cookie; }
SEC("tc") __attribute__((btf_decl_tag("exception_callback:caught"))) int thrower(struct __sk_buff *skb)
{
	if (skb->len > 1000)
		bpf_throw(7);
	return shared;
}
