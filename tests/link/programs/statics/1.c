#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Functions, variables, constants and strings of the same names in each file, each its own. */
static int state[3] = {1, 2, 3};
static volatile int count;
static const char name[] = "one";
static const int table[] = {1, 2, 3, 4};

static __noinline int twice(int x)
{
	return x * 2 + state[x & 1];
}

static __noinline int pick(int x)
{
	return twice(table[x & 3]) + name[x & 1] + "one in a literal"[x & 7];
}

SEC("xdp") int run_one(struct xdp_md *ctx)
{
	__u32 port = ctx->ingress_ifindex;

	state[1]++;
	count += 1;
	return pick(port) + state[1] + count;
}

char LICENSE[] SEC("license") = "GPL";
