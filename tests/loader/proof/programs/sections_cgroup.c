/* Section names of programs for control groups. */
#include "proof.h"

#define ON_PACKETS(section, name) \
	SEC(section) int on_##name(struct __sk_buff *skb) { count(); return skb->len ? 1 : 0; }

ON_PACKETS("cgroup_skb/ingress", ingress)
ON_PACKETS("cgroup_skb/egress", egress)
ON_PACKETS("cgroup/skb", skb)

#define ON_SOCKETS(section, name) \
	SEC(section) int on_##name(struct bpf_sock *sk) { count(); return sk->family ? 1 : 0; }

ON_SOCKETS("cgroup/sock_create", sock_create)
ON_SOCKETS("cgroup/sock_release", sock_release)
ON_SOCKETS("cgroup/sock", sock)

/* Ports are known only after binding. */
#define AFTER_BINDING(section, name) \
	SEC(section) int on_##name(struct bpf_sock *sk) { count(); return sk->src_port ? 1 : 0; }

AFTER_BINDING("cgroup/post_bind4", post_bind4)
AFTER_BINDING("cgroup/post_bind6", post_bind6)

/* Each family of addresses has fields of its own; replies may not be refused. */
#define ON_ADDRESSES(section, name, field) \
	SEC(section) int on_##name(struct bpf_sock_addr *ctx) { count(); ctx->field = ctx->field; return 1; }

ON_ADDRESSES("cgroup/bind4", bind4, user_ip4)
ON_ADDRESSES("cgroup/bind6", bind6, user_ip6[1])
ON_ADDRESSES("cgroup/connect4", connect4, user_ip4)
ON_ADDRESSES("cgroup/connect6", connect6, user_ip6[1])
ON_ADDRESSES("cgroup/sendmsg4", sendmsg4, msg_src_ip4)
ON_ADDRESSES("cgroup/sendmsg6", sendmsg6, msg_src_ip6[1])
ON_ADDRESSES("cgroup/recvmsg4", recvmsg4, user_ip4)
ON_ADDRESSES("cgroup/recvmsg6", recvmsg6, user_ip6[1])
ON_ADDRESSES("cgroup/getpeername4", getpeername4, user_ip4)
ON_ADDRESSES("cgroup/getpeername6", getpeername6, user_ip6[1])
ON_ADDRESSES("cgroup/getsockname4", getsockname4, user_ip4)
ON_ADDRESSES("cgroup/getsockname6", getsockname6, user_ip6[1])

#define ON_UNIX_ADDRESSES(section, name) \
	SEC(section) int on_##name(struct bpf_sock_addr *ctx) { count(); return ctx->family ? 1 : 1; }

ON_UNIX_ADDRESSES("cgroup/connect_unix", connect_unix)
ON_UNIX_ADDRESSES("cgroup/sendmsg_unix", sendmsg_unix)
ON_UNIX_ADDRESSES("cgroup/recvmsg_unix", recvmsg_unix)
ON_UNIX_ADDRESSES("cgroup/getpeername_unix", getpeername_unix)
ON_UNIX_ADDRESSES("cgroup/getsockname_unix", getsockname_unix)

SEC("cgroup/sysctl") int on_sysctl(struct bpf_sysctl *ctx) { count(); return ctx->write ? 1 : 0; }
SEC("cgroup/dev") int on_dev(struct bpf_cgroup_dev_ctx *ctx) { count(); return ctx->major ? 1 : 0; }

/* Only reading options has a result to change, only setting them a choice of option. */
SEC("cgroup/getsockopt") int on_getsockopt(struct bpf_sockopt *ctx) { count(); ctx->retval = ctx->retval; return 1; }
SEC("cgroup/setsockopt") int on_setsockopt(struct bpf_sockopt *ctx) { count(); ctx->optname = ctx->optname; return 1; }
