// Tags for BTF on declarations and types, and pointers that the kernel knows.
#include "bpf.h"
#define __tag(x) __attribute__((btf_decl_tag(x)))
struct foo;
struct node { struct node __kptr *next; int value __tag("contains:node:next") __tag("second"); } __tag("node tag");
struct held { struct foo __kptr *pointer; long __attribute__((btf_type_tag("a"))) __attribute__((btf_type_tag("b"))) *twice; };
typedef int tagged_int __tag("typedef");
struct { __uint(type, 2); __uint(max_entries, 1); __type(key, int); __type(value, struct held); } stash SEC(".maps");
int tagged_global __tag("global") = 1;
__noinline int checked(struct node *n __tag("arg:nonnull"), tagged_int t __tag("arg:trusted")) __tag("exception_callback:handler");
__noinline int checked(struct node *n, tagged_int t) { return n ? n->value + t : 0; }
SEC("tc") __tag("comment:test_expect_success") int tagged(void *ctx) {
    int zero = 0;
    struct held *h = bpf_map_lookup_elem(&stash, &zero);
    return (h && h->pointer) + (h && h->twice) + checked(0, tagged_global);
}
