#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
};

struct inner far SEC(".maps");
extern struct inner one SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, int);
	__array(values, struct inner);
} other_outer SEC(".maps") = {
	.values = { [1] = &one, [2] = &far },
};

SEC("xdp") int other_tail(struct xdp_md *ctx)
{
	return 600;
}

SEC("xdp") int read(struct xdp_md *ctx)
{
	int sum = 0;

	for (int i = 0; i < 4; i++) {
		int key = i, zero = 0, *cell;
		void *inner = bpf_map_lookup_elem(&other_outer, &key);

		if (!inner)
			continue;
		cell = bpf_map_lookup_elem(inner, &zero);
		if (cell)
			sum = sum * 100 + *cell;
	}
	return sum;
}

char LICENSE[] SEC("license") = "GPL";
