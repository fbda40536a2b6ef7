/* A table of jumps, as in `.jumptables`. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char license_text[] SEC("license") = "GPL";
int seen;

SEC("xdp") int jumps(struct xdp_md *ctx)
{
	switch (ctx->rx_queue_index) {
	case 0: return 1;
	case 1: seen = 1; break;
	case 2: seen += 3; break;
	case 3: return ctx->ingress_ifindex;
	case 4: seen *= 5; break;
	case 5: return bpf_get_smp_processor_id();
	case 6: return ctx->egress_ifindex;
	case 7: seen ^= 11; break;
	case 8: seen |= 13; break;
	case 9: return bpf_get_prandom_u32();
	case 10: seen -= 19; break;
	case 11: seen = seen % 7; break;
	case 12: return seen >> 3;
	case 13: seen /= 3; break;
	case 14: return bpf_ktime_get_ns();
	}
	return 3;
}
