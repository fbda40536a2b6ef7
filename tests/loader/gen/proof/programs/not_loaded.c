/* Programs that are loaded only when asked for stand between others, and in maps; there are also unlike licences. */
#include "proof.h"

int late(struct xdp_md *ctx);
int early(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 5);
	__uint(key_size, 4);
	__array(values, int (struct xdp_md *));
} calls SEC(".maps") = {.values = {[1] = &late, [4] = &early}};

SEC("?xdp") int absent_first(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int early(struct xdp_md *ctx) { count(); return XDP_PASS; }
SEC("?tc") int absent(struct __sk_buff *skb) { return count(); }
SEC("?fentry/no_such_function") int absent_too(void *ctx) { return 0; }
SEC("xdp") int late(struct xdp_md *ctx) { bpf_tail_call(ctx, &calls, 4); return XDP_ABORTED; }
SEC("?xdp") int absent_last(struct xdp_md *ctx) { return XDP_TX; }
