/* Global data in sections of every kind: large, not a multiple of anything, constant, many. */
#include "proof.h"

const volatile char odd[13] = "thirteen lets";
const volatile __u32 table[2000] = {1, 2, 3, [1999] = 4};
__u64 large[5000] = {[4999] = 9};
char zeros[100001];
int in_a_section SEC(".data.of.a.name") = 1;
const volatile long constant SEC(".rodata.and.another") = 2;
short zero SEC(".bss.zeros");
static const char text[] = "a text that is printed: %d";

SEC("tc") int use(struct __sk_buff *skb)
{
	__u32 index = skb->mark;

	if (index >= 2000)
		return -1;
	large[index] += table[index] + odd[index & 7];
	zeros[index]++;
	zero += in_a_section + constant;
	bpf_trace_printk(text, sizeof(text), index);
	bpf_printk("in a section of its own %d %d", index, zero);
	return 0;
}
