#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern const int bpf_prog_active __ksym __weak;
extern const void vfs_read __ksym __weak;

__noinline int count_to(int n)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return n * 100 + (&vfs_read ? 1 : 0);
}

char LICENSE[] SEC("license") = "GPL";
