#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A switch that clang makes a jump by a table; libbpf 1.1 does not know that. */
int state2 = 2;

/* This one loses, and the code behind it moves. */
__weak __noinline int leader(int x)
{
	return x * 2 - state2;
}

static __noinline int turn(int x, int y)
{
	switch (x) {
	case 5:
		return (y + state2);
	case 6:
		return (y + state2) * 3;
	case 7:
		return (y + state2) - 7;
	case 8:
		return -(y + state2);
	case 9:
		return (y + state2) / 3;
	case 10:
		return (y + state2) ^ 9;
	case 11:
		return (y + state2) | 4;
	case 12:
		return (y + state2) & 12;
	case 13:
		return ~(y + state2);
	case 14:
		return (y + state2) << 3;
	case 15:
		return (y + state2) >> 2;
	case 16:
		return (y + state2) * (y + state2);
	case 17:
		return (y + state2) + 100;
	case 18:
		return (y + state2) % 7;
	case 19:
		return 15;
	case 20:
		return (y + state2) * 5 + 1;
	case 21:
		return (y + state2) - 99;
	case 22:
		return 1;
	case 23:
		return (y + state2) ^ 0x55;
	case 24:
		return (y + state2) * 17;
	default:
		return state2;
	}
}

SEC("xdp") int run_other(struct xdp_md *ctx)
{
	return turn(leader(ctx->ingress_ifindex), ctx->rx_queue_index);
}

char LICENSE[] SEC("license") = "GPL";
