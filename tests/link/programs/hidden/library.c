#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The verifier lets a hidden function, like a static one, use a pointer that it did not check. */
__hidden int secret = 9;
int counter = 1;

__hidden __noinline int shared(int *x)
{
	*x += counter;
	return *x;
}

__hidden __noinline int answer(int *x)
{
	return *x * 100;
}

char LICENSE[] SEC("license") = "GPL";
