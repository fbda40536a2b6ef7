#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Functions, variables, constants and strings of the same names in each file, each its own. */
static int state[3] = {20, 21, 22};
static volatile int count;
static const char name[] = "two";
static const int table[] = {20, 40, 60, 80};

static __noinline int twice(int x)
{
	return x * 2 + state[x & 1];
}

static __noinline int pick(int x)
{
	return twice(table[x & 3]) + name[x & 1] + "two in a literal"[x & 7];
}

SEC("xdp") int run_two(struct xdp_md *ctx)
{
	__u32 port = ctx->ingress_ifindex;

	state[1]++;
	count += 20;
	return pick(port) + state[1] + count;
}

char LICENSE[] SEC("license") = "GPL";
