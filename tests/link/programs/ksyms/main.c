#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Functions and variables of the kernel, with types and without, weak and strong. */
struct bpf_iter_num;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_no_such_function(int x) __ksym __weak;
extern const void bpf_map_lookup_elem_proto_nowhere __ksym __weak;
extern const void schedule __ksym __weak;

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

int count_to(int n);

SEC("xdp") int entry(struct xdp_md *ctx)
{
	struct bpf_iter_num it;
	int sum = 0, *item;

	bpf_iter_num_new(&it, 0, 5);
	while ((item = bpf_iter_num_next(&it)))
		sum += *item;
	bpf_iter_num_destroy(&it);
	if (bpf_no_such_function)
		sum += bpf_no_such_function(sum);
	if (&bpf_map_lookup_elem_proto_nowhere)
		sum += 10000;
	if (&schedule)
		sum += 1;
	return sum + count_to(7);
}

char LICENSE[] SEC("license") = "GPL";
