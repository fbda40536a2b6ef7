#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Its own things lie before and behind what may be left out. */
static int state = 2;

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
	x ^= 0x22;
	x *= state;
	return x + before(state);
}

int first_2 = 20;
__weak int variable = 2;
int last_2 = 200;
__weak int zero;
__weak const volatile int constant = 2;
const volatile int last_constant_2 = 2;

__weak struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} map SEC(".maps");

SEC("xdp") int before_2(struct xdp_md *ctx)
{
	return before(2);
}

__weak SEC("xdp") int program(struct xdp_md *ctx)
{
	return after(2) * 0 + 2;
}

SEC("xdp") int after_2(struct xdp_md *ctx)
{
	return after(1) * 0 + first_2 + last_2 + state + last_constant_2;
}

char LICENSE[] SEC("license") = "GPL";
