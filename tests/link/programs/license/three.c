#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__noinline int three(void)
{
	return 3;
}
