#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Addresses of functions, in code and across files. */
static long step(__u32 index, int *sum)
{
	*sum += index;
	return 0;
}

int other_loop(int n);
long far_step(__u32 index, int *sum);

SEC("xdp") int entry(struct xdp_md *ctx)
{
	int sum = 0;

	bpf_loop(5, step, &sum, 0);
	bpf_loop(2, far_step, &sum, 0);
	return sum + other_loop(3);
}

char LICENSE[] SEC("license") = "GPL";
