#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Three files with the same license and version, one with none. */
int one(void), two(void), three(void);
__u32 VERSION SEC("version") = 0x60000;

SEC("xdp") int entry(struct xdp_md *ctx)
{
	return one() + two() + three();
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
