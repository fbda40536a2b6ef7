/* Types of maps that are newer than the first kernels of the proof. */
#include "proof.h"

struct {
	__uint(type, 32); /* CGRP_STORAGE */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} cgrp_storage SEC(".maps");

SEC("tc") int user(struct __sk_buff *skb) { return count(); }
