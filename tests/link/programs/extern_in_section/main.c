#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A declaration that says the section too: clang then lists the function among the variables of that section. */
SEC("xdp") int other(struct xdp_md *ctx);
extern int variable SEC(".data.custom");

SEC("xdp") int entry(struct xdp_md *ctx)
{
	return other(ctx) + variable;
}

char LICENSE[] SEC("license") = "GPL";
