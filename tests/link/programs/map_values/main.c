#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Maps of maps and a table of programs with their first contents, in both files. */
struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
};

struct inner one SEC(".maps"), two SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, int);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &one, [2] = &two },
};

extern struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, int);
	__array(values, struct inner);
} other_outer SEC(".maps");

SEC("xdp") int tail(struct xdp_md *ctx)
{
	return 500;
}

int other_tail(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int (void *));
} jumps SEC(".maps") = {
	.values = { [1] = (void *)&tail, [3] = (void *)&other_tail },
};

SEC("xdp") int write(struct xdp_md *ctx)
{
	int sum = 0;

	for (int i = 0; i < 4; i++) {
		int index = i, zero = 0, *cell;
		void *inner = bpf_map_lookup_elem(&outer, &index);

		if (!inner)
			continue;
		cell = bpf_map_lookup_elem(inner, &zero);
		if (cell)
			*cell = 10 + i, sum++;
	}
	return sum;
}

SEC("xdp") int jump_near(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	return 1;
}

SEC("xdp") int jump_far(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 3);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
