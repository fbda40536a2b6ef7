#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_throw(__u64 cookie) __ksym __attribute__((noreturn));

static __noinline int refuse(int x)
{
	if (x > 60)
		bpf_throw(x);
	return 4;
}

__noinline int check(int x)
{
	return refuse(x) + 1;
}

char LICENSE[] SEC("license") = "GPL";
