#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The kernel's configuration, read in two files; one has names that the other has not. */
extern int LINUX_KERNEL_VERSION __kconfig;
extern int CONFIG_LINK_TEST_NUMBER __kconfig;
extern _Bool CONFIG_LINK_TEST_FLAG __kconfig __weak;
extern char CONFIG_LINK_TEST_TEXT[8] __kconfig __weak;

int from_there(int x);

SEC("xdp") int entry(struct xdp_md *ctx)
{
	return (LINUX_KERNEL_VERSION >= 0x040000) + CONFIG_LINK_TEST_NUMBER + CONFIG_LINK_TEST_FLAG +
	       CONFIG_LINK_TEST_TEXT[1] + from_there(1);
}

char LICENSE[] SEC("license") = "GPL";
