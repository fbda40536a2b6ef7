/* Maps of every type, and every attribute of a definition. */
#include "proof.h"

struct value { __u32 a; __u64 b; };

#define MAP(name, kind, entries, ...) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, entries); \
		__VA_ARGS__ \
	} name SEC(".maps")
#define TYPED __type(key, __u32); __type(value, struct value);
#define SIZED(key, value) __uint(key_size, key); __uint(value_size, value);

MAP(hash, BPF_MAP_TYPE_HASH, 10, TYPED);
MAP(array, BPF_MAP_TYPE_ARRAY, 10, TYPED);
MAP(prog_array, BPF_MAP_TYPE_PROG_ARRAY, 3, SIZED(4, 4));
MAP(perf_event_array, BPF_MAP_TYPE_PERF_EVENT_ARRAY, 0, SIZED(4, 4));
MAP(perf_events_typed, BPF_MAP_TYPE_PERF_EVENT_ARRAY, 1, __type(key, int); __type(value, int););
MAP(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 10, TYPED);
MAP(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 10, TYPED);
MAP(stack_trace, BPF_MAP_TYPE_STACK_TRACE, 10, SIZED(4, 8 * 127));
MAP(cgroup_array, BPF_MAP_TYPE_CGROUP_ARRAY, 2, SIZED(4, 4));
MAP(lru_hash, BPF_MAP_TYPE_LRU_HASH, 100, TYPED);
MAP(lru_percpu_hash, BPF_MAP_TYPE_LRU_PERCPU_HASH, 100, TYPED);
MAP(lpm_trie, BPF_MAP_TYPE_LPM_TRIE, 10, SIZED(8, 4) __uint(map_flags, BPF_F_NO_PREALLOC););
MAP(devmap, BPF_MAP_TYPE_DEVMAP, 4, SIZED(4, 8));
MAP(devmap_hash, BPF_MAP_TYPE_DEVMAP_HASH, 4, __type(key, __u32); __type(value, struct bpf_devmap_val););
MAP(cpumap, BPF_MAP_TYPE_CPUMAP, 1, __type(key, __u32); __type(value, struct bpf_cpumap_val););
MAP(xskmap, BPF_MAP_TYPE_XSKMAP, 4, SIZED(4, 4));
MAP(sockmap, BPF_MAP_TYPE_SOCKMAP, 4, __type(key, __u32); __type(value, __u64););
MAP(sockhash, BPF_MAP_TYPE_SOCKHASH, 4, __type(key, __u64); __type(value, __u32););
MAP(reuseport_sockarray, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, __type(key, __u32); __type(value, __u64););
MAP(queue, BPF_MAP_TYPE_QUEUE, 5, __type(value, __u32););
MAP(stack, BPF_MAP_TYPE_STACK, 5, __uint(value_size, 12););
MAP(bloom_filter, BPF_MAP_TYPE_BLOOM_FILTER, 100, __type(value, __u64); __uint(map_extra, 3););
MAP(ringbuf, BPF_MAP_TYPE_RINGBUF, 4096);
MAP(ringbuf_rounded, BPF_MAP_TYPE_RINGBUF, 5000);
MAP(ringbuf_small, BPF_MAP_TYPE_RINGBUF, 1);
MAP(user_ringbuf, BPF_MAP_TYPE_USER_RINGBUF, 9000);

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} sk_storage SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} inode_storage SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} task_storage SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} cgroup_storage SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, __u64);
} percpu_cgroup_storage SEC(".maps");

/* Attributes. */
MAP(without_preallocation, BPF_MAP_TYPE_HASH, 10, TYPED __uint(map_flags, BPF_F_NO_PREALLOC););
MAP(mapped, BPF_MAP_TYPE_ARRAY, 100, TYPED __uint(map_flags, BPF_F_MMAPABLE););
MAP(read_only, BPF_MAP_TYPE_ARRAY, 1, SIZED(4, 4) __uint(map_flags, BPF_F_RDONLY_PROG););
MAP(on_a_node, BPF_MAP_TYPE_HASH, 1, SIZED(4, 4) __uint(map_flags, BPF_F_NUMA_NODE); __uint(numa_node, 0););
MAP(typed_and_sized, BPF_MAP_TYPE_HASH, 1, TYPED SIZED(4, 16));
MAP(a_name_longer_than_the_kernel_keeps, BPF_MAP_TYPE_HASH, 1, SIZED(4, 4));
MAP(large_entries, BPF_MAP_TYPE_ARRAY, 70000, SIZED(4, 1));

/* Maps in maps. */
struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} inner_1 SEC(".maps"), inner_2 SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer_array SEC(".maps") = {.values = {[1] = &inner_1, [3] = &inner_2}};
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer_hash SEC(".maps") = {.values = {[2] = &inner_2}};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_RINGBUF);
		__uint(max_entries, 8192);
	});
} outer_empty SEC(".maps");

/* Programs in a map. */
int called(struct xdp_md *ctx);
int not_called(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 3);
	__uint(key_size, sizeof(__u32));
	__array(values, int (struct xdp_md *));
} calls SEC(".maps") = {.values = {[0] = &called, [2] = &not_called}};

SEC("xdp") int called(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int not_called(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int caller(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &calls, 0);
	return XDP_ABORTED;
}

/* Not on the stack, of which Linux 7.3 thinks that bpf_map_peek_elem() only writes there: what it reads is dead. */
__u64 element;

SEC("xdp") int user(struct xdp_md *ctx)
{
	__u32 key = 1, zero = 0;
	void *inner = bpf_map_lookup_elem(&outer_array, &key);

	element = 5;
	if (inner) {
		__u32 *found = bpf_map_lookup_elem(inner, &zero);

		if (found)
			++*found;
	}
	bpf_map_push_elem(&queue, &key, 0);
	if (!bpf_map_peek_elem(&bloom_filter, &element))
		bpf_map_push_elem(&bloom_filter, &element, 0);
	bpf_ringbuf_output(&ringbuf_rounded, &element, sizeof(element), 0);
	return bpf_redirect_map(&devmap, 0, XDP_PASS);
}
