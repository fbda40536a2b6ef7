/* More maps than libbpf's loader programs have room for, of several types; programs use the first and the last. */
#include "proof.h"

#define MAP(n, kind) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, n); \
		__type(key, __u32); \
		__type(value, __u64); \
	} map_##n SEC(".maps");
#define TEN(t) \
	MAP(t##0, BPF_MAP_TYPE_ARRAY) MAP(t##1, BPF_MAP_TYPE_HASH) MAP(t##2, BPF_MAP_TYPE_PERCPU_ARRAY) \
	MAP(t##3, BPF_MAP_TYPE_ARRAY) MAP(t##4, BPF_MAP_TYPE_LRU_HASH) MAP(t##5, BPF_MAP_TYPE_ARRAY) \
	MAP(t##6, BPF_MAP_TYPE_HASH) MAP(t##7, BPF_MAP_TYPE_PERCPU_HASH) MAP(t##8, BPF_MAP_TYPE_ARRAY) \
	MAP(t##9, BPF_MAP_TYPE_HASH)
TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8)

#define COUNT(n) \
	do { \
		__u64 *found##n = bpf_map_lookup_elem(&map_##n, &key); \
		if (found##n) \
			++*found##n; \
	} while (0)

SEC("xdp") int first_and_last(struct xdp_md *ctx)
{
	__u32 key = 1;

	COUNT(10);
	COUNT(89);
	return count();
}

SEC("xdp") int many(struct xdp_md *ctx)
{
	__u32 key = 1;

	COUNT(11); COUNT(22); COUNT(33); COUNT(44); COUNT(55); COUNT(66); COUNT(77); COUNT(88);
	COUNT(12); COUNT(23); COUNT(34); COUNT(45); COUNT(56); COUNT(67); COUNT(78); COUNT(89);
	return XDP_PASS;
}
