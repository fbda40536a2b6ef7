#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;
extern const int bpf_prog_active __ksym __weak;
extern const void schedule __ksym __weak;

__noinline int count_to(int n)
{
	struct bpf_iter_num it;
	int count = 0;

	bpf_iter_num_new(&it, 0, n);
	while (bpf_iter_num_next(&it))
		count += 100;
	bpf_iter_num_destroy(&it);
	return count + (&schedule ? 1 : 0);
}

char LICENSE[] SEC("license") = "GPL";
