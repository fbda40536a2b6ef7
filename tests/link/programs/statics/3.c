#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Functions, variables, constants and strings of the same names in each file, each its own. */
static int state[3] = {300, 301, 302};
static volatile int count;
static const char name[] = "three";
static const int table[] = {300, 600, 900, 1200};

static __noinline int twice(int x)
{
	return x * 2 + state[x & 1];
}

static __noinline int pick(int x)
{
	return twice(table[x & 3]) + name[x & 1] + "three in a literal"[x & 7];
}

SEC("xdp") int run_three(struct xdp_md *ctx)
{
	__u32 port = ctx->ingress_ifindex;

	state[1]++;
	count += 300;
	return pick(port) + state[1] + count;
}

char LICENSE[] SEC("license") = "GPL";
