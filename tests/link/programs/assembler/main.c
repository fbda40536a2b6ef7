#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Functions and data of an assembler's file, which has no types, used from C and the other way around. */
int add_table(int x);
int call_back(int x);
extern int counter;

__noinline int from_c(int x)
{
	return x * 3;
}

SEC("xdp") int entry(struct xdp_md *ctx)
{
	counter += 1;
	return add_table(2) + call_back(5) + counter;
}

char LICENSE[] SEC("license") = "GPL";
