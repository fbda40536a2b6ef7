#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>

/* Relocations against the kernel's types in two files, which know different parts of them. */
struct task_struct {
	int tgid;
	struct task_struct *group_leader;
} __attribute__((preserve_access_index));

int pid_of_leader(void *task);
int flavoured(void *task);

SEC("raw_tp/sys_enter") int entry(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	int here = bpf_get_current_pid_tgid() >> 32;

	if (BPF_CORE_READ(task, tgid) != here)
		return 1;
	if (BPF_CORE_READ(task, group_leader, tgid) != here)
		return 2;
	if (pid_of_leader(task) != here)
		return 3;
	return flavoured(task) == here ? 77 : 4;
}

char LICENSE[] SEC("license") = "GPL";
