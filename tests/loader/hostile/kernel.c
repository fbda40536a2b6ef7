/* The types of a small kernel, for what tests/loader/hostile's objects ask for. */
typedef unsigned int u32;
typedef unsigned char u8;
struct list_head { struct list_head *next, *prev; };
struct task_struct { long state; int pid, tgid; struct list_head tasks; char comm[16]; struct task_struct *parent; } task;
struct sk_buff { u32 len; u8 skipped : 3; u8 pkt_type : 3, ip_summed : 2; } skb;
enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID } pid_type;
enum bpf_attach_type { BPF_XDP = 37, BPF_TCX_INGRESS = 46 } attach_type;
enum wide { WIDE = 1LL << 40 } wide;
struct sock { int state; };
struct module;
struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
	struct module *owner;
};
struct bpf_struct_ops_common_value { int refcnt, state; };
struct bpf_struct_ops_tcp_congestion_ops { struct bpf_struct_ops_common_value common; struct tcp_congestion_ops data; } ops;
struct rq { int nr_running; } runqueues;
typedef struct { int counter; } atomic_t;
union any { float f; atomic_t a; const volatile int *restrict p; } any;
void bpf_rcu_read_lock(void) {}
void bpf_rcu_read_unlock(void) {}
void bpf_throw(unsigned long long cookie) {}
int do_unlinkat(int dfd, struct list_head *name) { return dfd + !name; }
