// A table of functions for the kernel, lists, callbacks, dynamic pointers, formatted prints, variadic macros.
#include "bpf.h"
#define bpf_printk(fmt, args...) ({ static const char ____fmt[] = fmt; bpf_trace_printk(____fmt, sizeof(____fmt), ##args); })
#define PICK(_1, _2, _3, NAME, ...) NAME
#define SUM(...) PICK(__VA_ARGS__, SUM3, SUM2, SUM1)(__VA_ARGS__)
#define SUM1(a) (a)
#define SUM2(a, b) ((a) + (b))
#define SUM3(a, b, c) ((a) + (b) + (c))
struct sock; struct ack_sample;
struct tcp_congestion_ops {
    __u32 (*ssthresh)(struct sock *sk); void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
    __u32 (*undo_cwnd)(struct sock *sk); char name[16]; __u32 flags; void *owner;
};
struct bpf_dynptr { __u64 opaque[2]; } __attribute__((aligned(8)));
SEC("struct_ops/ssthresh") __u32 my_ssthresh(__u64 *ctx) { return (__u32)ctx[0]; }
SEC("struct_ops/cong_avoid") void my_cong_avoid(__u64 *ctx) {}
SEC("struct_ops") __u32 my_undo(__u64 *ctx) { return 2; }
SEC(".struct_ops") struct tcp_congestion_ops algorithm = {.ssthresh = (void *)my_ssthresh, .cong_avoid = (void *)my_cong_avoid, .undo_cwnd = (void *)my_undo, .name = "bpf_algo", .flags = 3};
SEC(".struct_ops.link") struct tcp_congestion_ops linked = {.ssthresh = (void *)my_ssthresh, .name = "bpf_linked"};
struct node { struct node *next; int v; };
static __noinline long step(__u32 index, __u64 *ctx) { *ctx += index; return index > 50; }
SEC("syscall") int run(void *ctx) {
    __u64 sum = 0;
    char memory[32] = {};
    struct bpf_dynptr p;
    bpf_loop(100, step, &sum, 0);
    bpf_dynptr_from_mem(memory, sizeof memory, 0, &p);
    char *data = bpf_dynptr_data(&p, 0, 8);
    if (data)
        *data = 'x';
    bpf_printk("sum %llu\n", sum);
    bpf_printk("none");
    bpf_printk("three %d \"%s\" \\%x", SUM(1, (int)sum, 3), memory, SUM(4));
    return SUM(1, (int)sum);
}
