/* Global data with a lock, which therefore is not mapped into memory. */
#include "proof.h"

struct {
	struct bpf_spin_lock lock;
	int value;
} locked SEC(".data.locked") = {.value = 3};

SEC("tc") int use(struct __sk_buff *skb)
{
	bpf_spin_lock(&locked.lock);
	locked.value++;
	bpf_spin_unlock(&locked.lock);
	return 0;
}
