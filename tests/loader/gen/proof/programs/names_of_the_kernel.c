/* The same names of the kernel again and again: in a program, in functions of it, in other programs; some missing. */
#include "proof.h"

struct task_struct;
struct rq { int cpu; };

extern const void vfs_read __ksym;
extern const void no_such_address __ksym __weak;
extern const struct rq runqueues __ksym;
extern const int no_such_variable __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;
extern struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;
extern int no_such_function(int argument) __ksym __weak;
extern int no_such_function_either(int argument) __ksym __weak;

__u64 seen[8];

static NOINLINE int locked(int index)
{
	if (bpf_rcu_read_lock) {
		bpf_rcu_read_lock();
		seen[index & 7]++;
		bpf_rcu_read_unlock();
	}
	return 0;
}

static NOINLINE int address(int index)
{
	seen[index & 7] += (__u64)&vfs_read;
	seen[(index + 1) & 7] += (__u64)&no_such_address;
	return 0;
}

SEC("tc") int functions(struct __sk_buff *skb)
{
	locked(skb->mark);
	if (bpf_rcu_read_lock) {
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
	}
	if (no_such_function)
		return no_such_function(1) + no_such_function(2);
	if (no_such_function_either)
		return no_such_function_either(3);
	return 0;
}

SEC("tc") int functions_again(struct __sk_buff *skb)
{
	if (no_such_function_either)
		return no_such_function_either(4) + no_such_function(5);
	return locked(skb->len) + locked(1);
}

SEC("raw_tp/sys_enter") int variables(void *ctx)
{
	seen[0] = (__u64)bpf_this_cpu_ptr(&runqueues);
	seen[1] = (__u64)bpf_this_cpu_ptr(&runqueues) + 1;
	if (&no_such_variable)
		seen[2] = no_such_variable;
	if (!&no_such_variable)
		seen[3] = 1;
	return 0;
}

SEC("raw_tp/sys_enter") int variables_again(void *ctx)
{
	const struct rq *queue = bpf_per_cpu_ptr(&runqueues, 0);

	if (queue)
		seen[4] = queue->cpu;
	return 0;
}

SEC("raw_tp/sys_enter") int addresses(void *ctx)
{
	seen[0] = (__u64)&vfs_read + (__u64)&no_such_address;
	return address(1) + address(2);
}
