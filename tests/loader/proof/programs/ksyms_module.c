/* Functions of the module nf_conntrack. */
#include "proof.h"

struct bpf_ct_opts___local {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};
struct nf_conn {
	unsigned long status;
};

extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size,
					 struct bpf_ct_opts___local *options, __u32 options_size) __ksym;
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 size,
					 struct bpf_ct_opts___local *options, __u32 options_size) __ksym;
extern void bpf_ct_release(struct nf_conn *connection) __ksym;

SEC("xdp") int of_a_frame(struct xdp_md *ctx)
{
	struct bpf_ct_opts___local options = {.netns_id = -1, .l4proto = 6};
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *connection = bpf_xdp_ct_lookup(ctx, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));

	count();
	if (connection)
		bpf_ct_release(connection);
	return XDP_PASS;
}

SEC("tc") int of_a_packet(struct __sk_buff *skb)
{
	struct bpf_ct_opts___local options = {.netns_id = -1, .l4proto = 17};
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *connection = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));

	if (connection)
		bpf_ct_release(connection);
	return 0;
}
