#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int called_back(int x);

static __noinline int carefully(int a, int b)
{
	return a + b;
}

__noinline int add(int a, int b)
{
	return carefully(a, b) + called_back(0);
}

SEC("xdp") int second(struct xdp_md *ctx)
{
	return add(2, called_back(3));
}

char LICENSE[] SEC("license") = "GPL";
