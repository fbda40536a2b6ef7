/* Names longer than the kernel keeps, alike in what it keeps. */
#include "proof.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} a_map_of_a_very_long_name_1 SEC(".maps"), a_map_of_a_very_long_name_2 SEC(".maps");

SEC("xdp") int a_program_of_a_very_long_name_1(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&a_map_of_a_very_long_name_1, &key) ? XDP_PASS : XDP_DROP;
}
SEC("xdp") int a_program_of_a_very_long_name_2(struct xdp_md *ctx)
{
	__u32 key = 1;

	return bpf_map_lookup_elem(&a_map_of_a_very_long_name_2, &key) ? XDP_PASS : XDP_DROP;
}
