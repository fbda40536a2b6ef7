#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A switch that clang makes a jump by a table; libbpf 1.1 does not know that. */
int state1 = 1;

__noinline int leader(int x)
{
	return x + state1;
}

static __noinline int turn(int x, int y)
{
	switch (x) {
	case 5:
		return y;
	case 6:
		return y * 3;
	case 7:
		return y - 7;
	case 8:
		return -y;
	case 9:
		return y / 3;
	case 10:
		return y ^ 9;
	case 11:
		return y | 4;
	case 12:
		return y & 12;
	case 13:
		return ~y;
	case 14:
		return y << 3;
	case 15:
		return y >> 2;
	case 16:
		return y * y;
	case 17:
		return y + 100;
	case 18:
		return y % 7;
	case 19:
		return 15;
	case 20:
		return y * 5 + 1;
	case 21:
		return y - 99;
	case 22:
		return 1;
	case 23:
		return y ^ 0x55;
	case 24:
		return y * 17;
	default:
		return state1;
	}
}

SEC("xdp") int run_main(struct xdp_md *ctx)
{
	return turn(ctx->ingress_ifindex, ctx->rx_queue_index);
}

char LICENSE[] SEC("license") = "GPL";
