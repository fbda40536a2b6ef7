#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))

struct element {
	struct element __arena *next;
	int value;
};

extern struct element __arena *head SEC(".addr_space.1");
int __arena far SEC(".addr_space.1") = 6;
static int __arena here SEC(".addr_space.1") = 7;

__noinline void push(struct element __arena *element)
{
	here++;
	element->value = here;
	element->next = head;
	head = element;
}

char LICENSE[] SEC("license") = "GPL";
