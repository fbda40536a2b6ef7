/* Iterators that programs open, step and destroy by kernel functions. */
#include "proof.h"

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num *iterator, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *iterator) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *iterator) __ksym;

SEC("tc") int sum(struct __sk_buff *skb)
{
	struct bpf_iter_num iterator;
	int sum = 0, *number;

	bpf_iter_num_new(&iterator, 1, 9);
	while ((number = bpf_iter_num_next(&iterator)))
		sum += *number;
	bpf_iter_num_destroy(&iterator);
	return sum;
}
