#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Tags of declarations: without `arg:nonnull` the verifier does not let `*number` be read unchecked. */
#define __tag(text) __attribute__((btf_decl_tag(text)))
#define __type_tag(text) __attribute__((btf_type_tag(text)))

struct shape {
	int width __tag("field tag");
	int __type_tag("pointee") *area;
} __tag("struct tag");

typedef struct shape shape_t __tag("typedef tag");

int variable __tag("variable tag") = 3;
shape_t a_shape;

int scale(int *number __tag("arg:nonnull"));

SEC("xdp") int entry(struct xdp_md *ctx)
{
	int number = 20;

	a_shape.width++;
	return scale(&number) + variable;
}

char LICENSE[] SEC("license") = "GPL";
