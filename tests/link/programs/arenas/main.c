#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Memory that is shared with user space; libbpf 1.1 does not know it. */
#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, 33); /* BPF_MAP_TYPE_ARENA */
	__uint(map_flags, 1 << 10); /* BPF_F_MMAPABLE */
	__uint(max_entries, 4);
} arena SEC(".maps");

struct element {
	struct element __arena *next;
	int value;
};

struct element __arena *head SEC(".addr_space.1");
int __arena shared SEC(".addr_space.1") = 5;
extern int __arena far SEC(".addr_space.1");
void push(struct element __arena *element);

SEC("syscall") int entry(void *ctx)
{
	shared += far;
	push(head);
	return shared + (bpf_map_lookup_elem(&arena, ctx) != 0);
}

char LICENSE[] SEC("license") = "GPL";
