#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct timed {
	char name[12];
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct timed);
} timers SEC(".maps");

static int ring(void *map, int *key, struct timed *value)
{
	return 0;
}

__noinline int arm(int x)
{
	struct timed empty = {}, *value;

	bpf_map_update_elem(&timers, &x, &empty, BPF_ANY);
	value = bpf_map_lookup_elem(&timers, &x);
	if (!value || bpf_timer_init(&value->timer, &timers, 1) || bpf_timer_set_callback(&value->timer, ring))
		return -1;
	return bpf_timer_start(&value->timer, 1000000000, 0) ? -2 : 50;
}

char LICENSE[] SEC("license") = "GPL";
