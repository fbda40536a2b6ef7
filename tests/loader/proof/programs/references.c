/* What instructions refer to within an object: data sections of any name, maps, functions, callbacks. */
#include "proof.h"

int in_data = 1;
static volatile int static_in_data = 2;
int in_bss;
static volatile int static_in_bss;
const volatile int in_rodata = 3;
static const volatile int static_in_rodata = 4;
int in_custom_data SEC(".data.custom") = 5;
int in_custom_bss SEC(".bss.custom");
const volatile int in_custom_rodata SEC(".rodata.custom") = 6;
const char text[] = "read-only text";
struct {
	int first, second[8];
} structure = {1, {2, 3}};
int *pointer_to_nothing;
static int hidden_array[16] __attribute__((aligned(32))) = {7};
__attribute__((visibility("hidden"))) int hidden_global = 8;
__attribute__((weak)) int weak_global = 9;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} hash SEC(".maps");

SEC("xdp") int data(struct xdp_md *ctx)
{
	in_data += static_in_data++;
	in_bss += static_in_bss++;
	in_custom_data += in_custom_bss++;
	weak_global += hidden_global++;
	return in_rodata + static_in_rodata + in_custom_rodata;
}

SEC("xdp") int within_data(struct xdp_md *ctx)
{
	__u32 index = ctx->rx_queue_index & 7;

	structure.second[index]++;
	hidden_array[index + 4] += text[index];
	return structure.second[3] + (pointer_to_nothing != 0);
}

SEC("xdp") int maps(struct xdp_md *ctx)
{
	__u32 key = 1;
	__u64 value = 2, *found;

	bpf_map_update_elem(&hash, &key, &value, BPF_ANY);
	found = bpf_map_lookup_elem(&hash, &key);
	return found ? (int)*found : 0;
}

static NOINLINE int deepest(int x) { in_data += x; return in_bss; }
static NOINLINE int deeper(int x) { return deepest(x) + deepest(x + 1); }
NOINLINE int global(int x) { return deeper(x) * 2; }
__attribute__((visibility("hidden"))) NOINLINE int hidden(int x) { return deeper(x) * 3; }
__attribute__((weak)) NOINLINE int weak(int x) { return deepest(x) * 4; }

SEC("xdp") int functions(struct xdp_md *ctx)
{
	return deeper(in_rodata) + global(1) + hidden(2) + weak(3);
}

SEC("xdp") int other_functions(struct xdp_md *ctx)
{
	return weak(3) + deepest(2) + count();
}

static long each(void *map, __u32 *key, __u64 *value, __u64 *sum)
{
	*sum += *value + deepest(1);
	return 0;
}

static long step(__u32 index, __u64 *sum)
{
	*sum += index;
	return 0;
}

SEC("xdp") int callbacks(struct xdp_md *ctx)
{
	__u64 sum = 0;

	bpf_for_each_map_elem(&hash, each, &sum, 0);
	bpf_loop(4, step, &sum, 0);
	return sum;
}

SEC("tc") int of_another_type(struct __sk_buff *skb)
{
	return global(5) + deeper(6);
}

/* Two programs in one section. */
SEC("socket") int first(struct __sk_buff *skb) { return deepest(1); }
SEC("socket") int second(struct __sk_buff *skb) { return deepest(2); }
