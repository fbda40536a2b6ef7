/* Maps in maps: filled or empty, before or behind those that they hold, of unlike types. */
#include "proof.h"

struct numbers {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
};
struct words {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__uint(map_flags, 0x1000); /* BPF_F_INNER_MAP */
	__type(key, __u32);
	__type(value, char[16]);
};
extern struct numbers later SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct numbers);
} before SEC(".maps") = {.values = {[0] = (void *)&later, [2] = (void *)&later}};
struct numbers later SEC(".maps");
struct words words_1 SEC(".maps"), words_2 SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 70);
	__type(key, __u32);
	__array(values, struct words);
} behind SEC(".maps") = {.values = {[0] = &words_1, [1] = &words_2, [69] = &words_1}};
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u64);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_LRU_HASH);
		__uint(max_entries, 20);
		__type(key, __u32);
		__type(value, __u32);
	});
} empty SEC(".maps");

SEC("xdp") int look(struct xdp_md *ctx)
{
	__u32 key = 0, *found;
	__u64 number = 2;
	void *inner = bpf_map_lookup_elem(&before, &key);

	if (!inner)
		return XDP_ABORTED;
	found = bpf_map_lookup_elem(inner, &number);
	inner = bpf_map_lookup_elem(&behind, &key);
	if (inner)
		bpf_map_lookup_elem(inner, &key);
	bpf_map_lookup_elem(&empty, &number);
	return found ? XDP_DROP : XDP_PASS;
}
