#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct key {
	__u32 id;
};

struct value {
	__u64 hits;
	__u64 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct value);
} last SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} there SEC(".maps");

extern struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, struct value);
} here SEC(".maps");

__noinline int record(__u32 id, __u64 amount)
{
	struct key key = { id };
	struct value *value = bpf_map_lookup_elem(&here, &key), *copy;
	__u32 zero = 0, slot = 3;
	__u64 *cell = bpf_map_lookup_elem(&there, &slot);

	if (!value || !cell)
		return -1;
	value->hits++;
	value->sum += amount;
	*cell = value->sum;
	copy = bpf_map_lookup_elem(&last, &zero);
	if (copy)
		*copy = *value;
	return value->sum;
}

char LICENSE[] SEC("license") = "GPL";
