#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Hidden functions and variables are for all files of the link, and for nobody else. */
int shared(int *x);
extern int counter;
__hidden extern int secret;
__hidden int answer(int *x);

SEC("xdp") int entry(struct xdp_md *ctx)
{
	int here = 4;

	counter += 2;
	return shared(&here) + answer(&here) + secret;
}

char LICENSE[] SEC("license") = "GPL";
