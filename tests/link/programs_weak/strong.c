#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Its own things lie before and behind what may be left out. */
static int state = 3;

static __noinline int before(int x)
{
	return x + state;
}

__noinline int function(int x)
{
	return before(x) - x;
}

static __noinline int after(int x)
{
	x = x * x * x + state;
	return x + before(state);
}

int first_3 = 30;
int variable = 3;
int last_3 = 300;
int zero;
const volatile int constant = 3;
const volatile int last_constant_3 = 3;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} map SEC(".maps");

SEC("xdp") int before_3(struct xdp_md *ctx)
{
	return before(3);
}

SEC("xdp") int program(struct xdp_md *ctx)
{
	return after(3) * 0 + 3;
}

SEC("xdp") int after_3(struct xdp_md *ctx)
{
	return after(1) * 0 + first_3 + last_3 + state + last_constant_3;
}

char LICENSE[] SEC("license") = "GPL";
