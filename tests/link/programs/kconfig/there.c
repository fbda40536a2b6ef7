#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern enum libbpf_tristate CONFIG_LINK_TEST_MODULE __kconfig;
extern int CONFIG_LINK_TEST_NUMBER __kconfig;
extern __u64 CONFIG_LINK_TEST_ABSENT __kconfig __weak;
extern int LINUX_KERNEL_VERSION __kconfig;

__noinline int from_there(int x)
{
	if (CONFIG_LINK_TEST_ABSENT || !LINUX_KERNEL_VERSION)
		return -1;
	return CONFIG_LINK_TEST_MODULE * 1000 + CONFIG_LINK_TEST_NUMBER * x;
}

char LICENSE[] SEC("license") = "GPL";
