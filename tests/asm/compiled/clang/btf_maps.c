// Maps described by BTF: hash, array, per-CPU, map in map with values, program array, ring buffer, pinned, static.
#include "bpf.h"
struct key { __u32 address; __u16 port; };
struct value { __u64 packets, bytes; struct key last; };
struct { __uint(type, 1); __uint(max_entries, 1024); __type(key, struct key); __type(value, struct value); } flows SEC(".maps");
struct { __uint(type, 2); __uint(max_entries, 4); __uint(key_size, 4); __uint(value_size, 8); __uint(map_flags, 0x400); } plain SEC(".maps");
struct { __uint(type, 6); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64[4]); __uint(pinning, 1); } per_cpu SEC(".maps");
struct { __uint(type, 27); __uint(max_entries, 4096); } ring SEC(".maps");
struct inner { __uint(type, 2); __uint(max_entries, 1); __type(key, int); __type(value, int); } first SEC(".maps"), second SEC(".maps");
struct { __uint(type, 13); __uint(max_entries, 2); __type(key, int); __array(values, struct inner); } outer SEC(".maps") = {
    .values = {&first, &second},
};
int target(void *ctx);
struct { __uint(type, 3); __uint(max_entries, 3); __uint(key_size, 4); __array(values, int(void *)); } jumps SEC(".maps") = {
    .values = {[1] = (void *)&target},
};
static struct { __uint(type, 1); __uint(max_entries, 8); __type(key, int); __type(value, long); } hidden_map SEC(".maps");
struct { __uint(type, 33); __uint(map_flags, 1 << 10); __uint(max_entries, 100); __ulong(map_extra, 0x1ull << 44); } arena SEC(".maps");

static __noinline long each(void *map, __u32 *key, struct value *value, void *ctx) {
    value->packets = 0;
    return *key & 1;
}

SEC("tc")
int count(void *ctx) {
    struct key key = {7, 8};
    int zero = 0;
    struct value *value = bpf_map_lookup_elem(&flows, &key);
    __u64 *slot = bpf_ringbuf_reserve(&ring, 8, 0);
    if (slot) {
        *slot = bpf_ktime_get_ns();
        bpf_ringbuf_submit(slot, 0);
    }
    if (value)
        value->packets++;
    void *in = bpf_map_lookup_elem(&outer, &zero);
    if (in)
        bpf_map_update_elem(in, &zero, &zero, 0);
    bpf_map_update_elem(&hidden_map, &zero, &key, 0);
    bpf_map_lookup_elem(&per_cpu, &zero);
    bpf_for_each_map_elem(&flows, each, ctx, 0);
    bpf_tail_call(ctx, &jumps, 1);
    return bpf_map_lookup_elem(&plain, &zero) != 0;
}
SEC("tc") int target(void *ctx) { return 0; }
char _license[] SEC("license") = "GPL";
