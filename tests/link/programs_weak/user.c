#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Uses what the other files define, weakly or not. */
int function(int x);
extern int variable;
extern int zero;
extern const volatile int constant;
extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} map SEC(".maps");
int absent(int x) __weak;

static int behind = 7;

SEC("xdp") int entry(struct xdp_md *ctx)
{
	int key = 0, *value = bpf_map_lookup_elem(&map, &key);

	if (!value)
		return -1;
	zero += 1;
	*value = function(5);
	return function(1) * 1000 + variable * 100 + constant * 10 + behind + zero - 1;
}

char LICENSE[] SEC("license") = "GPL";
