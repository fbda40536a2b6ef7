#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int first SEC(".data.custom") = 1;
int variable SEC(".data.custom") = 20;

SEC("xdp") int other(struct xdp_md *ctx)
{
	return 5 + first + variable;
}

char LICENSE[] SEC("license") = "GPL";
