#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int add(int a, int b);

static __noinline int carefully(int a)
{
	return add(a, 2);
}

__noinline int sum_to(int n)
{
	return n <= 0 ? 0 : add(n * (n - 1) / 2, carefully(n - 2));
}

SEC("xdp") int third(struct xdp_md *ctx)
{
	return sum_to(10);
}

char LICENSE[] SEC("license") = "GPL";
