/* The smallest maps, which may depend on the machine: pages, processors. */
#include "proof.h"

#define MAP(name, kind, entries, ...) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, entries); \
		__VA_ARGS__ \
	} name SEC(".maps")
#define NUMBERS __type(key, __u32); __type(value, __u32);

MAP(one, BPF_MAP_TYPE_ARRAY, 1, NUMBERS);
MAP(one_hash, BPF_MAP_TYPE_HASH, 1, NUMBERS);
MAP(one_each, BPF_MAP_TYPE_PERCPU_ARRAY, 1, NUMBERS);
MAP(one_recent, BPF_MAP_TYPE_LRU_HASH, 1, NUMBERS);
MAP(one_prefix, BPF_MAP_TYPE_LPM_TRIE, 1,
	__uint(key_size, 5); __uint(value_size, 1); __uint(map_flags, BPF_F_NO_PREALLOC););
MAP(one_page, BPF_MAP_TYPE_RINGBUF, 1);
MAP(three_pages, BPF_MAP_TYPE_RINGBUF, 3 * 4096);
MAP(of_processors, BPF_MAP_TYPE_PERF_EVENT_ARRAY, 0, __uint(key_size, 4); __uint(value_size, 4););
MAP(of_two, BPF_MAP_TYPE_PERF_EVENT_ARRAY, 2, __uint(key_size, 4); __uint(value_size, 4););
MAP(one_byte, BPF_MAP_TYPE_ARRAY, 1, __uint(key_size, 4); __uint(value_size, 1););

SEC("tc") int send(struct __sk_buff *skb)
{
	__u64 word = 7;
	__u32 key = 0;

	bpf_perf_event_output(skb, &of_processors, BPF_F_CURRENT_CPU, &word, sizeof(word));
	bpf_ringbuf_output(&one_page, &word, sizeof(word), 0);
	bpf_map_update_elem(&one_recent, &key, &key, 0);
	return count();
}
