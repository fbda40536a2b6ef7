/* Programs of the loader program's own type, and others that may sleep. */
#include "proof.h"

struct arguments { __u64 address; __u32 size; };

SEC("syscall") int by_user(struct arguments *arguments)
{
	char text[8] = {};

	bpf_copy_from_user(text, sizeof(text), (void *)arguments->address);
	count();
	return text[0] + arguments->size;
}
SEC("syscall") int again(struct arguments *arguments) { return count(); }
SEC("uprobe.s") int asleep(void *ctx) { return count(); }
