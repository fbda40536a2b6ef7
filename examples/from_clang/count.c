// An XDP program that counts the bytes of packets by EtherType; clang writes it as assembly (build.sh).

#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))

struct map_definition {
    unsigned int type, key_size, value_size, max_entries;
};

struct map_definition SECTION("maps") hashmap_def = {BPF_MAP_TYPE_HASH, 8, 8, 256};

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*map_update)(void *map, const void *key, const void *value, unsigned long long flags) =
    (void *)BPF_FUNC_map_update_elem;

unsigned long long packets;
const volatile unsigned int shortest = 14;

unsigned long long packet_length(struct xdp_md *context);

int SECTION("xdp") xdp_count(struct xdp_md *context)
{
    unsigned long long length = packet_length(context);
    unsigned char *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
    if (length < shortest || data + 14 > end)
        return XDP_DROP;
    __sync_fetch_and_add(&packets, 1);
    unsigned long long key = data[12] << 8 | data[13];
    unsigned long long *bytes = map_lookup(&hashmap_def, &key);
    if (bytes)
        __sync_fetch_and_add(bytes, length);
    else
        map_update(&hashmap_def, &key, &length, BPF_ANY);
    return XDP_PASS;
}

char SECTION("license") _license[] = "GPL";
