#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Maps defined here or there and used in both files. */
struct key {
	__u32 id;
};

struct value {
	__u64 hits;
	__u64 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, struct value);
} here SEC(".maps");

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} there SEC(".maps");

int record(__u32 id, __u64 amount);

SEC("xdp") int insert(struct xdp_md *ctx)
{
	struct key key = { 7 };
	struct value value = { 1, 10 };
	__u32 slot = 2;
	__u64 *cell;

	bpf_map_update_elem(&here, &key, &value, BPF_ANY);
	cell = bpf_map_lookup_elem(&there, &slot);
	if (cell)
		*cell += 5;
	return record(7, 32);
}

char LICENSE[] SEC("license") = "GPL";
