#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct opaque { long content[2]; struct opaque *self; };
union choice { int number; char bytes[4]; };
enum plain { NONE, SOME = 5 };
enum wide { WIDE = 0x123456789aULL, NARROW = 1 };

struct node {
	struct node *next;
	struct tree *owner;
	enum plain plain : 8;
	unsigned flags : 3;
	enum wide wide;
};

struct tree {
	struct node *first;
	struct opaque *opaque;
	union choice *choice;
	int (*compare)(const struct node *, const struct tree *);
	float ratio;
	const volatile char *restrict text[2][3];
};

struct different { char name[4]; long there; };
struct different yours = { "abc", 60 };
extern struct opaque *pointer;
union choice chosen = { 7 };
struct node node = { .flags = 5 };

__noinline int use(struct tree *tree)
{
	if (!tree)
		return -1;
	node.plain = SOME;
	return (tree->opaque ? 1 : 0) + (pointer ? 1 : 0) + yours.there + chosen.number + node.flags + node.plain;
}

char LICENSE[] SEC("license") = "GPL";
