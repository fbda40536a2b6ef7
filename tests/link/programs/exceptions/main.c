#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_throw(__u64 cookie) __ksym __attribute__((noreturn));
int check(int x);

SEC("tc") int entry(struct __sk_buff *skb)
{
	return check(skb->len);
}

char LICENSE[] SEC("license") = "GPL";
