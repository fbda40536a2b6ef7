/* Global variables in an arena, and memory got from it. */
#include "proof.h"

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, 33); /* ARENA */
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4);
} arena SEC(".maps");

int __arena first SEC(".addr_space.1") = 40;
int __arena second SEC(".addr_space.1") = 2;
int __arena zeros[100] SEC(".addr_space.1");

SEC("syscall") int sum(void *ctx)
{
	zeros[99]++;
	return first + second + zeros[99] - 1;
}

SEC("syscall") int change(void *ctx)
{
	first = 50;
	count();
	return (long)&arena != 1;
}
