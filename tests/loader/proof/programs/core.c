/* CO-RE relocations of every kind, for types that all kernels have, or none, or have otherwise. */
#include "proof.h"

struct list_head {
	struct list_head *next, *prev;
} RELOCATED;

struct sched_entity {
	unsigned char on_rq;
	__u64 vruntime;
} RELOCATED;

/* The fields are in another order than the kernel's, with others around them. */
struct task_struct {
	int tgid;
	int pid;
	char comm[16];
	struct task_struct *real_parent;
	unsigned int flags;
	struct sched_entity se;
	struct list_head tasks;
	__u64 utime;
} RELOCATED;

struct task_struct___other {
	int no_such_field;
	int pid;
	long __state;
	long state;
} RELOCATED;

struct no_such_struct {
	int field;
} RELOCATED;

struct tcp_sock___bits {
	__u8 is_cwnd_limited : 1, nonagle : 4, thin_lto : 1;
	__u32 snd_cwnd;
} RELOCATED;

struct sk_buff___bits {
	__u8 pkt_type : 3;
	__u8 ip_summed : 2;
	__u8 cloned : 1;
	unsigned int len;
} RELOCATED;

enum pid_type { PIDTYPE_PID, PIDTYPE_TGID = 1, PIDTYPE_PGID = 7 };
enum no_such_enum { NO_SUCH_VALUE = 3 };
enum bpf_map_type___some { BPF_MAP_TYPE_HASH___some = 1, BPF_MAP_TYPE_NEVER___some = 999 };
enum bpf_func_id___wide { BPF_FUNC_get_stackid___wide = 1LL << 40 };
union bpf_attr___some { __u32 map_type; __u64 no_such_member; };
typedef struct { int counter; } atomic_t;
typedef int no_such_typedef;
typedef unsigned int gfp_t___other;
struct mm_struct___anonymous { struct { void *pgd; }; } RELOCATED;
struct pt_regs___flags { unsigned long ip, sp; } RELOCATED;

__u64 out[16];

#define RECORD(index, value) (out[index] = (value))

SEC("raw_tp/sys_enter") int field_offsets(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	RECORD(0, BPF_CORE_READ(task, pid));
	RECORD(1, BPF_CORE_READ(task, real_parent, tgid));
	RECORD(2, BPF_CORE_READ(task, se.vruntime));
	RECORD(3, BPF_CORE_READ(task, comm[3]));
	RECORD(4, (__u64)BPF_CORE_READ(task, tasks.next));
	RECORD(5, bpf_core_field_offset(struct task_struct, flags));
	RECORD(6, bpf_core_field_offset(struct mm_struct___anonymous, pgd));
	return 0;
}

SEC("raw_tp/sys_enter") int field_sizes(void *ctx)
{
	RECORD(0, bpf_core_field_size(struct task_struct, comm));
	RECORD(1, bpf_core_field_size(struct task_struct, se));
	RECORD(2, bpf_core_field_size(struct task_struct, tasks.prev));
	return 0;
}

SEC("raw_tp/sys_enter") int field_exists(void *ctx)
{
	struct task_struct___other *task = (void *)bpf_get_current_task();

	RECORD(0, bpf_core_field_exists(task->pid));
	RECORD(1, bpf_core_field_exists(task->no_such_field));
	RECORD(2, bpf_core_field_exists(task->__state));
	if (bpf_core_field_exists(task->state))
		RECORD(3, BPF_CORE_READ(task, state));
	else
		RECORD(3, BPF_CORE_READ(task, __state));
	RECORD(4, bpf_core_field_exists(((struct no_such_struct *)0)->field));
	return 0;
}

SEC("raw_tp/sys_enter") int bitfields(void *ctx)
{
	struct tcp_sock___bits *tcp = (void *)bpf_get_current_task();
	struct sk_buff___bits *skb = (void *)bpf_get_current_task();

	RECORD(0, BPF_CORE_READ_BITFIELD_PROBED(tcp, is_cwnd_limited));
	RECORD(1, BPF_CORE_READ_BITFIELD_PROBED(tcp, nonagle));
	RECORD(2, BPF_CORE_READ_BITFIELD_PROBED(skb, pkt_type));
	RECORD(3, BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed));
	RECORD(4, BPF_CORE_READ_BITFIELD_PROBED(tcp, snd_cwnd));
	return 0;
}

SEC("raw_tp/sys_enter") int signs(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct sk_buff___bits *skb = (void *)task;

	RECORD(0, __builtin_preserve_field_info(task->pid, BPF_FIELD_SIGNED));
	RECORD(1, __builtin_preserve_field_info(task->flags, BPF_FIELD_SIGNED));
	RECORD(2, __builtin_preserve_field_info(skb->pkt_type, BPF_FIELD_SIGNED));
	return 0;
}

SEC("raw_tp/sys_enter") int type_ids(void *ctx)
{
	RECORD(0, bpf_core_type_id_local(struct task_struct));
	RECORD(1, bpf_core_type_id_kernel(struct task_struct));
	RECORD(2, bpf_core_type_id_kernel(atomic_t));
	RECORD(3, bpf_core_type_id_kernel(enum pid_type));
	RECORD(4, bpf_core_type_id_kernel(union bpf_attr___some));
	return 0;
}

SEC("raw_tp/sys_enter") int type_exists(void *ctx)
{
	RECORD(0, bpf_core_type_exists(struct task_struct));
	RECORD(1, bpf_core_type_exists(struct no_such_struct));
	RECORD(2, bpf_core_type_exists(atomic_t));
	RECORD(3, bpf_core_type_exists(no_such_typedef));
	RECORD(4, bpf_core_type_exists(enum no_such_enum));
	RECORD(5, bpf_core_type_exists(union bpf_attr___some));
	RECORD(6, bpf_core_type_exists(gfp_t___other));
	return 0;
}

SEC("raw_tp/sys_enter") int type_sizes(void *ctx)
{
	RECORD(0, bpf_core_type_size(struct task_struct));
	RECORD(1, bpf_core_type_size(struct list_head));
	RECORD(2, bpf_core_type_size(union bpf_attr___some));
	RECORD(3, bpf_core_type_size(enum pid_type));
	return 0;
}

SEC("raw_tp/sys_enter") int type_matches(void *ctx)
{
	RECORD(0, bpf_core_type_matches(struct list_head));
	RECORD(1, bpf_core_type_matches(struct task_struct));
	RECORD(2, bpf_core_type_matches(atomic_t));
	RECORD(3, bpf_core_type_matches(struct no_such_struct));
	return 0;
}

SEC("raw_tp/sys_enter") int enum_values(void *ctx)
{
	RECORD(0, bpf_core_enum_value_exists(enum pid_type, PIDTYPE_PGID));
	RECORD(1, bpf_core_enum_value(enum pid_type, PIDTYPE_PGID));
	RECORD(2, bpf_core_enum_value_exists(enum no_such_enum, NO_SUCH_VALUE));
	RECORD(3, bpf_core_enum_value_exists(enum bpf_map_type___some, BPF_MAP_TYPE_NEVER___some));
	RECORD(4, bpf_core_enum_value(enum bpf_map_type___some, BPF_MAP_TYPE_HASH___some));
	return 0;
}

SEC("raw_tp/sys_enter") int wide_enum_values(void *ctx)
{
	RECORD(0, bpf_core_enum_value(enum bpf_func_id___wide, BPF_FUNC_get_stackid___wide));
	return 0;
}

static NOINLINE int in_a_function(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, tgid);
}

SEC("raw_tp/sys_enter") int in_functions(void *ctx) { return in_a_function(); }

SEC("tp_btf/sched_process_fork") int BPF_PROG(direct, struct task_struct *parent, struct task_struct *child)
{
	RECORD(0, parent->pid);
	RECORD(1, child->se.on_rq);
	RECORD(2, child->real_parent->tgid);
	return 0;
}

/* What the kernel lacks poisons an instruction that the verifier does not reach. */
SEC("raw_tp/sys_enter") int poison_behind_a_check(void *ctx)
{
	struct task_struct___other *task = (void *)bpf_get_current_task();

	if (bpf_core_field_exists(task->no_such_field))
		RECORD(0, BPF_CORE_READ(task, no_such_field));
	if (bpf_core_type_exists(struct no_such_struct))
		RECORD(1, bpf_core_type_size(struct no_such_struct) + bpf_core_type_id_kernel(struct no_such_struct));
	if (bpf_core_enum_value_exists(enum no_such_enum, NO_SUCH_VALUE))
		RECORD(2, bpf_core_enum_value(enum no_such_enum, NO_SUCH_VALUE));
	return 0;
}

SEC("raw_tp/sys_enter") int poison_is_reached(void *ctx)
{
	struct task_struct___other *task = (void *)bpf_get_current_task();

	RECORD(0, BPF_CORE_READ(task, no_such_field));
	return 0;
}
