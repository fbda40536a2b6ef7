#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* clang's program with gcc's functions and variables, whose types say less. */
int scale(int x);
extern int factor;
int pick(int x);

__noinline int from_clang(int x)
{
	return x + 1;
}

SEC("xdp") int entry(struct xdp_md *ctx)
{
	factor += 1;
	return scale(10) + pick(2);
}

char LICENSE[] SEC("license") = "GPL";
