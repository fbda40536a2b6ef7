/* Programs that the kernel's types say what to attach to, without trampolines; several for one target. */
#include "proof.h"

struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; __u64 session_id; __u64 seq_num; } RELOCATED;
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; } RELOCATED;
struct bpf_iter__bpf_map { struct bpf_iter_meta *meta; struct bpf_map *map; } RELOCATED;
struct task_struct { int pid; struct task_struct *real_parent; } RELOCATED;

SEC("iter/task") int tasks(struct bpf_iter__task *ctx) { return ctx->task ? count() : 0; }
SEC("iter/bpf_map") int maps(struct bpf_iter__bpf_map *ctx) { return ctx->map ? count() : 0; }
SEC("iter.s/task") int sleepy(struct bpf_iter__task *ctx) { return ctx->task ? count() : 0; }
SEC("tp_btf/sched_switch") int BPF_PROG(switched, _Bool preempt, struct task_struct *prev)
{
	runs += prev->real_parent->pid;
	return 0;
}
SEC("tp_btf/sched_switch") int BPF_PROG(switched_too, _Bool preempt, struct task_struct *prev)
{
	return count();
}
SEC("raw_tp/sched_switch") int raw(void *ctx) { return count(); }
SEC("kprobe/vfs_read") int probe(void *ctx) { return count(); }
