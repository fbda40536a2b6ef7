#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* libbpf 1.1 does not bring the callback, which nothing calls, into the program. */
extern void bpf_throw(__u64 cookie) __ksym __attribute__((noreturn));

__noinline int caught(__u64 cookie)
{
	return cookie + 7;
}

int check(int x);

__attribute__((btf_decl_tag("exception_callback:caught"))) SEC("tc") int entry(struct __sk_buff *skb)
{
	return check(skb->len);
}

char LICENSE[] SEC("license") = "GPL";
