// mcpu: v3 v4
// Loops that the kernel bounds, as its own macros write them, and casts between address spaces.
#include "bpf.h"
#define can_loop ({ __label__ l_break, l_continue; _Bool ret = 1; asm volatile goto("may_goto %l[l_break]" :::: l_break); goto l_continue; l_break: ret = 0; l_continue:; ret; })
#define cond_break ({ __label__ l_break, l_continue; asm volatile goto("may_goto %l[l_break]" :::: l_break); goto l_continue; l_break: break; l_continue:; })
#define cast_kern(ptr) asm volatile("%[reg] = addr_space_cast(%[reg], 0, 1)" : [reg] "+r"(ptr))
#define cast_user(ptr) asm volatile("%[reg] = addr_space_cast(%[reg], 1, 0)" : [reg] "+r"(ptr))
struct node { struct node __arena *next; int value; };
struct node __arena *list;
int __arena counter = 1;
int __arena zeros[10];

SEC("syscall") int bounded(void *ctx) {
    int sum = 0;
    for (int i = 0; i < 1000 && can_loop; i++)
        sum += i;
    for (;;) {
        sum++;
        cond_break;
    }
    struct node __arena *n = list;
    cast_kern(n);
    while (n && can_loop) {
        sum += n->value;
        n = n->next;
    }
    struct node *generic = (struct node *)list;
    cast_user(generic);
    counter += sum + zeros[3];
    return generic->value;
}
