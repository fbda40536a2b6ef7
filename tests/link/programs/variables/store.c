#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int after_small;
extern int first_zero;

char small = 10;
__u64 large = 0x500000000;
int zeros[4];
const volatile short limit = 300;
int custom SEC(".data.custom") = 40;
int custom_zero SEC(".bss.custom");
const volatile int custom_constant SEC(".rodata.custom") = 6;
static int here SEC(".data.custom") = 100;

SEC("xdp") int report(struct xdp_md *ctx)
{
	here += 1;
	return small + zeros[2] + custom + custom_zero + here + after_small + first_zero;
}

char LICENSE[] SEC("license") = "GPL";
