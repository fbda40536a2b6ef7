// Accesses to be relocated against the running kernel: members, bits, arrays, existence, sizes, types, enumerators.
#include "bpf.h"
#define FIELD(field, info) __builtin_preserve_field_info(field, info)
enum state { IDLE = 1, BUSY = 2 };
enum large { LARGE = 0x100000000ULL };
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct name { char text[16]; int length; };
struct flags { unsigned ready : 1, level : 3; long long rest : 30; };
struct task {
    int pid;
    struct task *parent;
    union { int code; struct name *label; };
    struct flags flags;
    struct name names[4];
    enum state state;
};
struct task___old { int pid; char gone; };
#pragma clang attribute pop
typedef struct task task_t;
static __noinline int bits(struct task *t) { return FIELD(t->flags.level, 0) + FIELD(t->flags.level, 1) + FIELD(t->flags.rest, 4) + FIELD(t->flags.rest, 5) + FIELD(t->pid, 3); }

SEC("raw_tp/sched_switch")
int walk(void **ctx) {
    struct task *t = ctx[1], *parent;
    char text[16];
    int sum = t->pid + t->flags.level + t->names[2].length + t->state + t->names[1].text[3];
    bpf_probe_read_kernel(&parent, sizeof parent, __builtin_preserve_access_index(&t->parent));
    bpf_probe_read_kernel(text, sizeof text, &parent->label->text);
    if (FIELD(((struct task___old *)t)->gone, 2))
        sum += ((struct task___old *)t)->gone;
    sum += __builtin_preserve_type_info(*(struct task *)0, 0) + __builtin_preserve_type_info(*(task_t *)0, 1);
    sum += __builtin_preserve_type_info(*(struct name *)0, 2) + __builtin_btf_type_id(*(struct name *)0, 0);
    sum += __builtin_btf_type_id(*(struct task *)0, 1);
    sum += __builtin_preserve_enum_value(*(typeof(enum state) *)BUSY, 0) + __builtin_preserve_enum_value(*(typeof(enum large) *)LARGE, 1);
    return sum + bits(t) + text[0];
}
