#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_throw(__u64 cookie) __ksym __attribute__((noreturn));
int caught(__u64 cookie);

__noinline int check(int x)
{
	if (x > 60)
		bpf_throw(x);
	return x;
}

__attribute__((btf_decl_tag("exception_callback:caught"))) SEC("tc") int other(struct __sk_buff *skb)
{
	return check(skb->mark);
}

char LICENSE[] SEC("license") = "GPL";
