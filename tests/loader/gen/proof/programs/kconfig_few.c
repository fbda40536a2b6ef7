/* Few values of the configuration, of which one must be there, and no other data. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern int CONFIG_HZ __kconfig;
extern _Bool CONFIG_NO_SUCH_THING __kconfig __weak;

SEC("socket") int choose(struct __sk_buff *skb)
{
	if (LINUX_KERNEL_VERSION > 0x060000 && !CONFIG_NO_SUCH_THING)
		return CONFIG_HZ;
	return skb->len;
}
