/* Names of the kernel: addresses, typed variables, functions; strong and weak ones, some of which it lacks. */
#include "proof.h"

struct task_struct;
struct rq {
	int cpu;
};
struct no_such_struct;

extern const void vfs_read __ksym;
extern const void init_task __ksym __weak; /* not all kernels list their variables */
extern const void no_such_address __ksym __weak;
extern const struct rq runqueues __ksym;
extern const int bpf_prog_active __ksym;
extern const int no_such_variable __ksym __weak;

extern struct task_struct *bpf_task_from_pid(int pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;
extern int no_such_function(int argument) __ksym __weak;
extern void bpf_rcu_read_lock___flavoured(void) __ksym __weak;
extern void bpf_rcu_read_unlock___flavoured(void) __ksym __weak;

__u64 seen[4];

SEC("raw_tp/sys_enter") int addresses(void *ctx)
{
	seen[0] = (__u64)&vfs_read;
	seen[1] = (__u64)&init_task;
	seen[2] = (__u64)&no_such_address;
	return 0;
}

SEC("raw_tp/sys_enter") int variables(void *ctx)
{
	const int *active = bpf_per_cpu_ptr(&bpf_prog_active, 0);

	if (active)
		seen[0] = *active;
	seen[1] = (__u64)bpf_this_cpu_ptr(&runqueues);
	if (&no_such_variable)
		seen[2] = no_such_variable;
	return 0;
}

SEC("tc") int functions(struct __sk_buff *skb)
{
	if (bpf_rcu_read_lock && bpf_rcu_read_unlock) {
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
	}
	if (no_such_function)
		return no_such_function(1);
	return 0;
}

SEC("tc") int flavours(struct __sk_buff *skb)
{
	if (bpf_rcu_read_lock___flavoured && bpf_rcu_read_unlock___flavoured) {
		bpf_rcu_read_lock___flavoured();
		bpf_rcu_read_unlock___flavoured();
	}
	return 0;
}

SEC("tc") int function_behind_a_guess(struct __sk_buff *skb)
{
	if (which)
		return 0;
	return no_such_function(1); /* the verifier knows that this is not reached */
}

SEC("tc") int missing_function_is_reached(struct __sk_buff *skb)
{
	return no_such_function(1);
}
