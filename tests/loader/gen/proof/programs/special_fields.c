/* Values with fields that the kernel finds by their types: locks, timers, pointers to objects of the kernel. */
#include "proof.h"

struct task_struct { int pid; };

struct value {
	struct bpf_spin_lock lock;
	struct bpf_timer timer;
	struct task_struct __attribute__((btf_type_tag("kptr_untrusted"))) *task;
	int counter;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} values SEC(".maps");

static int fired(void *map, __u32 *key, struct value *value)
{
	value->counter++;
	return 0;
}

SEC("tc") int start(struct __sk_buff *skb)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(&values, &key);

	if (!value)
		return 0;
	bpf_spin_lock(&value->lock);
	value->counter++;
	bpf_spin_unlock(&value->lock);
	bpf_timer_init(&value->timer, &values, 1);
	bpf_timer_set_callback(&value->timer, fired);
	bpf_timer_start(&value->timer, 1000, 0);
	return value->task != 0;
}
