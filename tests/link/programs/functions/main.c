#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A program calls functions of two other files, which call each other back, and a static one here. */
int add(int a, int b);
int sum_to(int n);

static __noinline int here(int x)
{
	return add(x, 1000);
}

__noinline int called_back(int x)
{
	return x * 7;
}

SEC("xdp") int first(struct xdp_md *ctx)
{
	return here(sum_to(4)) + called_back(1);
}

SEC("tc") int classify(struct __sk_buff *skb)
{
	return add(skb->len, sum_to(3));
}

char LICENSE[] SEC("license") = "GPL";
