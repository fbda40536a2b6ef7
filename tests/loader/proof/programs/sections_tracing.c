/* Section names of programs for functions and types that are found in the kernel's BTF. */
#include "proof.h"

struct task_struct {
	int pid;
} RELOCATED;

struct file;
struct bpf_iter_meta {
	struct seq_file *seq;
} RELOCATED;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} RELOCATED;

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
} RELOCATED;

SEC("tp_btf/sched_process_fork") int BPF_PROG(tp_btf, struct task_struct *parent, struct task_struct *child)
{
	count();
	return child->pid;
}

SEC("tp_btf.s/sys_enter") int BPF_PROG(tp_btf_sleepable, struct pt_regs *regs, long number)
{
	count();
	return number != 0;
}

/* Only programs that may sleep may call this helper. */
#define SLEEPING_ON_A_TEST_FUNCTION(section, name) \
	SEC(section) int BPF_PROG(name, int a) \
	{ \
		count(); \
		bpf_copy_from_user(&runs, sizeof(runs), (void *)(long)which); \
		return 0; \
	}

#define ON_A_TEST_FUNCTION(section, name) \
	SEC(section) int BPF_PROG(name, int a) { count(); return a == 7 ? 0 : 0; }

ON_A_TEST_FUNCTION("fentry/bpf_fentry_test1", fentry)
ON_A_TEST_FUNCTION("fexit/bpf_fentry_test1", fexit)
ON_A_TEST_FUNCTION("fsession/bpf_fentry_test1", fsession)
SLEEPING_ON_A_TEST_FUNCTION("fsession.s/bpf_fentry_test1", fsession_sleepable)
SLEEPING_ON_A_TEST_FUNCTION("fmod_ret.s/bpf_fentry_test1", fmod_ret_sleepable)
SLEEPING_ON_A_TEST_FUNCTION("fentry.s/bpf_fentry_test1", fentry_sleepable)
SLEEPING_ON_A_TEST_FUNCTION("fexit.s/bpf_fentry_test1", fexit_sleepable)
ON_A_TEST_FUNCTION("fentry.multi/bpf_fentry_test*", fentry_multi)
ON_A_TEST_FUNCTION("fexit.multi/bpf_fentry_test*", fexit_multi)
ON_A_TEST_FUNCTION("fsession.multi/bpf_fentry_test*", fsession_multi)
SLEEPING_ON_A_TEST_FUNCTION("fentry.multi.s/bpf_fentry_test*", fentry_multi_sleepable)
SLEEPING_ON_A_TEST_FUNCTION("fexit.multi.s/bpf_fentry_test*", fexit_multi_sleepable)
SLEEPING_ON_A_TEST_FUNCTION("fsession.multi.s/bpf_fentry_test*", fsession_multi_sleepable)
ON_A_TEST_FUNCTION("fentry/vmlinux:bpf_fentry_test1", fentry_vmlinux)

SEC("fmod_ret/security_file_open") int BPF_PROG(fmod_ret, struct file *file, int result) { count(); return result; }
SEC("lsm/file_open") int BPF_PROG(lsm, struct file *file, int result) { count(); return 0; }
SEC("lsm.s/file_open") int BPF_PROG(lsm_sleepable, struct file *file, int result)
{
	count();
	bpf_copy_from_user(&runs, sizeof(runs), (void *)(long)which);
	return 0;
}

SEC("lsm_cgroup/socket_bind") int BPF_PROG(lsm_cgroup, struct socket *socket, struct sockaddr *address, int length)
{
	count();
	return 1;
}

SEC("iter/task") int iter(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	count();
	if (task) {
		int pid = task->pid;

		bpf_seq_write(ctx->meta->seq, &pid, sizeof(pid));
	}
	return 0;
}

SEC("iter.s/task") int iter_sleepable(struct bpf_iter__task *ctx)
{
	count();
	bpf_copy_from_user(&runs, sizeof(runs), (void *)(long)which);
	return 0;
}

SEC("iter/bpf_map") int iter_bpf_map(struct bpf_iter__bpf_map *ctx)
{
	count();
	return ctx->map ? 0 : 0;
}
