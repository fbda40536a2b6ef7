#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Variables of all kinds of sections, defined in one file and used in the other. */
extern char small;
extern __u64 large;
extern int zeros[4];
extern const volatile short limit;
extern int custom;
extern int custom_zero;
extern const volatile int custom_constant;

char before = 1;
int after_small = 5;
const volatile char first_constant = 2;
int first_zero;

SEC("xdp") int store(struct xdp_md *ctx)
{
	small += 1;
	large += 0x100000000;
	zeros[2] = small;
	custom += limit;
	custom_zero = custom_constant + before + first_constant;
	first_zero = after_small;
	return small + limit + (int)(large >> 32);
}

char LICENSE[] SEC("license") = "GPL";
