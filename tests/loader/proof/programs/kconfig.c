/* Variables of the kernel's configuration, of every type that loaders fill, and what loaders know of the kernel. */
#include "proof.h"

typedef _Bool bool;

extern bool CONFIG_BPF __kconfig;
extern bool CONFIG_NO_SUCH_THING __kconfig __weak;
extern enum libbpf_tristate CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_NO_SUCH_MODULE __kconfig __weak;
extern char CONFIG_NET __kconfig;
extern signed char CONFIG_BPF_SMALL __kconfig __weak;
extern unsigned short CONFIG_LOG_BUF_SHIFT __kconfig __weak;
extern int CONFIG_HZ __kconfig;
extern long CONFIG_NR_CPUS __kconfig;
extern unsigned long CONFIG_PHYSICAL_START __kconfig __weak;
extern const char CONFIG_DEFAULT_HOSTNAME[8] __kconfig __weak;
extern const char CONFIG_CC_VERSION_TEXT[4] __kconfig __weak;
extern int LINUX_KERNEL_VERSION __kconfig;
extern bool LINUX_HAS_BPF_COOKIE __kconfig;
extern int LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern int LINUX_NO_SUCH_FACT __kconfig __weak;

__u64 sum;

SEC("socket") int numbers(struct __sk_buff *skb)
{
	count();
	sum = CONFIG_HZ + CONFIG_NR_CPUS + CONFIG_LOG_BUF_SHIFT + CONFIG_PHYSICAL_START + CONFIG_BPF_SMALL;
	return CONFIG_HZ > 250;
}

SEC("socket") int switches(struct __sk_buff *skb)
{
	if (CONFIG_BPF && !CONFIG_NO_SUCH_THING)
		count();
	return CONFIG_BPF_SYSCALL == TRI_YES && CONFIG_NO_SUCH_MODULE == TRI_NO && CONFIG_NET == 'y';
}

SEC("socket") int texts(struct __sk_buff *skb)
{
	return CONFIG_DEFAULT_HOSTNAME[0] + CONFIG_CC_VERSION_TEXT[2];
}

SEC("socket") int facts(struct __sk_buff *skb)
{
	if (LINUX_KERNEL_VERSION < 0x050000)
		return -1; /* never looked at: the verifier knows the version */
	return LINUX_HAS_BPF_COOKIE + LINUX_HAS_SYSCALL_WRAPPER + LINUX_NO_SUCH_FACT;
}
