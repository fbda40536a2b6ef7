#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";
int data = 2;

__noinline int two(void)
{
	return data;
}
