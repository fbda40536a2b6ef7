#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __tag(text) __attribute__((btf_decl_tag(text)))
#define __type_tag(text) __attribute__((btf_type_tag(text)))

struct shape {
	int width __tag("field tag");
	int __type_tag("pointee") *area;
} __tag("struct tag");

extern int variable __tag("variable tag");
struct shape other_shape;

__tag("function tag") __noinline int scale(int *number __tag("arg:nonnull"))
{
	other_shape.width = variable;
	return *number * other_shape.width;
}

char LICENSE[] SEC("license") = "GPL";
