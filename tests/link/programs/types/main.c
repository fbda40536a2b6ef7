#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Types that are equal, recursive, only declared in one file, or different under one name. */
struct opaque;
union choice;
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

struct different { int here; };
struct opaque *pointer;
struct tree tree;
struct different mine;

int use(struct tree *tree);

SEC("xdp") int entry(struct xdp_md *ctx)
{
	mine.here = WIDE >> 32;
	tree.ratio = 0;
	return mine.here + (pointer ? 1 : 0) + use(&tree);
}

char LICENSE[] SEC("license") = "GPL";
