/* A program that throws, with a callback of its own and with the kernel's. */
#include "proof.h"

extern void bpf_throw(__u64 cookie) __ksym;

__attribute__((noinline)) int handler(__u64 cookie) { return cookie + 30; }

SEC("tc") __attribute__((btf_decl_tag("exception_callback:handler"))) int caught(struct __sk_buff *skb)
{
	if (which)
		bpf_throw(12);
	return 1;
}

static NOINLINE int thrower(__u64 cookie)
{
	bpf_throw(cookie);
	return 0;
}

SEC("tc") int uncaught(struct __sk_buff *skb)
{
	runs++;
	if (skb->len)
		return thrower(7);
	return 1;
}
