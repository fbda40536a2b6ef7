#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct {
	int pid;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
};
struct task_struct___other {
	int no_such_field;
	int tgid;
};
#pragma clang attribute pop

enum bpf_map_type_local { LOCAL };

__hidden __noinline int pid_of_leader(void *task)
{
	struct task_struct *self = task;

	if (!bpf_core_field_exists(self->real_parent) || bpf_core_type_size(struct task_struct) < 100)
		return -1;
	return BPF_CORE_READ(self, group_leader, pid);
}

__hidden __noinline int flavoured(void *task)
{
	struct task_struct___other *self = task;

	if (bpf_core_field_exists(self->no_such_field) || bpf_core_type_exists(enum bpf_map_type_local))
		return -1;
	if (bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_ARRAY) != 2)
		return -2;
	return BPF_CORE_READ(self, tgid);
}

char LICENSE[] SEC("license") = "GPL";
