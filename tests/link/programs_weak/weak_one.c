#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Its own things lie before and behind what may be left out. */
static int state = 1;

static __noinline int before(int x)
{
	return x + state;
}

__weak __noinline int function(int x)
{
	return before(x) - x;
}

static __noinline int after(int x)
{
	return x + before(state);
}

int first_1 = 10;
__weak int variable = 1;
int last_1 = 100;
__weak int zero;
__weak const volatile int constant = 1;
const volatile int last_constant_1 = 1;

__weak struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} map SEC(".maps");

SEC("xdp") int before_1(struct xdp_md *ctx)
{
	return before(1);
}

__weak SEC("xdp") int program(struct xdp_md *ctx)
{
	return after(1) * 0 + 1;
}

SEC("xdp") int after_1(struct xdp_md *ctx)
{
	return after(1) * 0 + first_1 + last_1 + state + last_constant_1;
}

char LICENSE[] SEC("license") = "GPL";
