/* Something of everything that this loader reads: maps, data, externs, CO-RE, functions, callbacks. */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

char license_text[] SEC("license") = "GPL";

struct list_head { struct list_head *next, *prev; } __attribute__((preserve_access_index));
struct task_struct {
	int tgid, pid;
	char comm[16];
	struct list_head tasks;
} __attribute__((preserve_access_index));
struct sk_buff___bits { __u8 pkt_type : 3, ip_summed : 2; } __attribute__((preserve_access_index));
struct no_such_struct { int field; } __attribute__((preserve_access_index));
enum pid_type { PIDTYPE_PID, PIDTYPE_PGID = 7 };

struct key { __u32 a; __u16 b[2]; };
struct value { __u64 count; struct { __u8 low : 4, high : 4; } bits; char name[7]; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct value);
} hash SEC(".maps");
struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} one SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {.values = {[2] = &one}};
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");
int rich(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int (struct xdp_md *));
} calls SEC(".maps") = {.values = {[1] = &rich}};

extern int CONFIG_HZ __kconfig;
extern unsigned LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_NO_SUCH_OPTION __kconfig __weak;
extern const char CONFIG_DEFAULT_HOSTNAME[8] __kconfig __weak;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void no_such_function(int) __ksym __weak;
extern const void bpf_prog_put __ksym;
extern const int no_such_variable __ksym __weak;

const volatile int limit = 3;
int counts[4] = {1, 2}, zero;
static volatile long own;
struct value values[2] SEC(".data.values") = {{.count = 7, .name = "seven"}};

static long step(__u32 index, __u64 *sum) { *sum += index + counts[index & 3]; return 0; }
__attribute__((noinline)) int helper(int x) { own += x; return own + limit; }
static __attribute__((noinline)) int deeper(int x) { return helper(x) + zero++; }

SEC("xdp") int rich(struct xdp_md *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct key key = {CONFIG_HZ, {1, 2}};
	struct value *value = bpf_map_lookup_elem(&hash, &key);
	__u64 sum = 0;

	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	if (no_such_function)
		no_such_function(1);
	bpf_loop(4, step, &sum, 0);
	if (value)
		value->count += deeper(sum);
	sum += BPF_CORE_READ(task, pid) + bpf_core_field_exists(task->comm) + bpf_core_field_size(struct task_struct, tasks);
	sum += bpf_core_type_size(struct list_head) + bpf_core_type_id_kernel(struct task_struct);
	sum += BPF_CORE_READ_BITFIELD_PROBED((struct sk_buff___bits *)task, ip_summed);
	sum += bpf_core_enum_value(enum pid_type, PIDTYPE_PGID) + bpf_core_type_matches(struct list_head);
	if (bpf_core_type_exists(struct no_such_struct))
		sum += bpf_core_type_size(struct no_such_struct);
	sum += (__u64)&bpf_prog_put + (__u64)&no_such_variable + LINUX_KERNEL_VERSION + CONFIG_NO_SUCH_OPTION + CONFIG_DEFAULT_HOSTNAME[0];
	values[1].count = sum;
	bpf_ringbuf_output(&events, &sum, sizeof(sum), 0);
	bpf_tail_call(ctx, &calls, 0);
	return XDP_PASS + deeper(2);
}

SEC("?tc") int not_loaded(struct __sk_buff *skb) { return deeper(skb->len); }
SEC("raw_tp/sys_enter") int on_event(void *ctx) { return helper(1); }
