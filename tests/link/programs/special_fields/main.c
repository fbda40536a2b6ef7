#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Values with fields that the kernel finds by their types: lock, timer, tagged pointer. */
struct task_struct;
#define __kptr __attribute__((btf_type_tag("kptr")))

struct locked {
	int guarded;
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct locked);
} locks SEC(".maps");

struct owner {
	struct task_struct __kptr *task;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct owner);
} owners SEC(".maps");

int arm(int x);

SEC("tc") int guard(struct __sk_buff *skb)
{
	int zero = 0, seen;
	struct locked *value = bpf_map_lookup_elem(&locks, &zero);
	struct owner *owner = bpf_map_lookup_elem(&owners, &zero);

	if (!value || !owner)
		return -1;
	bpf_spin_lock(&value->lock);
	seen = ++value->guarded;
	bpf_spin_unlock(&value->lock);
	return seen + arm(1) + (owner->task ? 1000 : 0);
}

char LICENSE[] SEC("license") = "GPL";
