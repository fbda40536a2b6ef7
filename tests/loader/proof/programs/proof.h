/* What every program of the proof does, whatever its type: counts its runs in a map and in a global variable. */
#pragma once
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#define __TARGET_ARCH_x86
#include <bpf/bpf_tracing.h>

#ifndef __clang__ /* GCC 12 calls helpers by functions with an attribute, not by pointers to functions */
void *helper_map_lookup_elem(void *map, const void *key) __attribute__((kernel_helper(1)));
#define bpf_map_lookup_elem helper_map_lookup_elem
#endif

#define NOINLINE __attribute__((noinline))
#define RELOCATED __attribute__((preserve_access_index))

char license_text[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

const volatile __u32 which = 2;
__u64 runs = 0;

static NOINLINE __attribute__((unused)) int count(void)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&counts, &key);

	runs++;
	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}
