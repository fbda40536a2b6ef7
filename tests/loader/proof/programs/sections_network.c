/* Section names of programs for packets and sockets. */
#include "proof.h"

#define ON_PACKETS(section, name, result) \
	SEC(section) int on_##name(struct __sk_buff *skb) { count(); return skb->len ? result : 0; }

ON_PACKETS("socket", socket, 1)
ON_PACKETS("tc", tc, 0)
ON_PACKETS("classifier", classifier, 0)
ON_PACKETS("action", action, 0)
ON_PACKETS("tc/ingress", tc_ingress, 0)
ON_PACKETS("tc/egress", tc_egress, 0)
ON_PACKETS("tcx/ingress", tcx_ingress, 0)
ON_PACKETS("tcx/egress", tcx_egress, 0)
ON_PACKETS("netkit/primary", netkit_primary, 0)
ON_PACKETS("netkit/peer", netkit_peer, 0)
ON_PACKETS("lwt_in", lwt_in, 0)
ON_PACKETS("lwt_out", lwt_out, 0)
ON_PACKETS("lwt_xmit", lwt_xmit, 0)
ON_PACKETS("lwt_seg6local", lwt_seg6local, 0)
ON_PACKETS("sk_skb", sk_skb, 1)
ON_PACKETS("sk_skb/stream_parser", stream_parser, 1)
ON_PACKETS("sk_skb/stream_verdict", stream_verdict, 1)
ON_PACKETS("sk_skb/verdict", verdict, 1)

/* A flow dissector may not read the length. */
SEC("flow_dissector") int on_flow_dissector(struct __sk_buff *skb) { count(); return skb->flow_keys ? 0 : 2; }

#define ON_FRAMES(section, name) \
	SEC(section) int on_##name(struct xdp_md *ctx) { count(); return ctx->data < ctx->data_end ? XDP_PASS : XDP_DROP; }

/* Only programs of device maps may ask where a frame goes. */
#define FOR_DEVICES(section, name) \
	SEC(section) int on_##name(struct xdp_md *ctx) { count(); return ctx->egress_ifindex ? XDP_PASS : XDP_DROP; }

ON_FRAMES("xdp", xdp)
ON_FRAMES("xdp.frags", xdp_frags)
ON_FRAMES("xdp/cpumap", xdp_cpumap)
ON_FRAMES("xdp.frags/cpumap", xdp_frags_cpumap)
FOR_DEVICES("xdp/devmap", xdp_devmap)
FOR_DEVICES("xdp.frags/devmap", xdp_frags_devmap)

SEC("sk_msg") int on_sk_msg(struct sk_msg_md *msg) { count(); return msg->size ? SK_PASS : SK_DROP; }
SEC("sockops") int on_sockops(struct bpf_sock_ops *ops) { count(); return ops->op ? 1 : 0; }
SEC("sk_lookup") int on_sk_lookup(struct bpf_sk_lookup *ctx) { count(); return ctx->family ? SK_PASS : SK_DROP; }
SEC("sk_reuseport") int on_sk_reuseport(struct sk_reuseport_md *ctx) { count(); return ctx->len ? SK_PASS : SK_DROP; }

/* Only the migrating kind may look at the socket that migrates. */
SEC("sk_reuseport/migrate") int on_sk_reuseport_migrate(struct sk_reuseport_md *ctx)
{
	count();
	if (ctx->migrating_sk)
		runs++;
	return SK_PASS;
}

SEC("netfilter") int on_netfilter(void *ctx) { count(); return 1; }
SEC("lirc_mode2") int on_lirc_mode2(unsigned int *sample) { count(); return *sample ? 0 : 1; }

/* Programs of this section are loaded only when asked for. */
SEC("?xdp") int on_not_by_itself(struct xdp_md *ctx) { count(); return XDP_PASS; }
