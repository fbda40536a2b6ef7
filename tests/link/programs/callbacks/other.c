#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static int calls;

static long step(__u32 index, int *sum)
{
	*sum += 100;
	return 0;
}

__hidden long far_step(__u32 index, int *sum)
{
	*sum += 1000;
	calls++;
	return 0;
}

__noinline int other_loop(int n)
{
	int sum = 0;

	bpf_loop(n, step, &sum, 0);
	return sum + calls;
}

char LICENSE[] SEC("license") = "GPL";
