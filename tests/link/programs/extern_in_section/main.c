#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A declaration that says the section too: clang then lists the function among the variables of that section. */
SEC("xdp") int other(struct xdp_md *ctx);
extern int variable SEC(".data.custom");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int (void *));
} jumps SEC(".maps") = {
	.values = { [2] = (void *)&other },
};

SEC("xdp") int entry(struct xdp_md *ctx)
{
	variable += 1;
	bpf_tail_call(ctx, &jumps, 2);
	return variable;
}

char LICENSE[] SEC("license") = "GPL";
