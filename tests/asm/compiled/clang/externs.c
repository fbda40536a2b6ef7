// What the kernel provides: functions and variables of .ksyms, settings of .kconfig, strong and weak.
#include "bpf.h"
struct task_struct;
struct bpf_iter_num { __u64 opaque[1]; } __attribute__((aligned(8)));
enum tristate { NO, YES, MODULE };
extern struct task_struct *bpf_task_acquire(struct task_struct *t) __ksym;
extern void bpf_task_release(struct task_struct *t) __ksym __weak;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern const void bpf_prog_active __ksym;
extern const int runqueues __ksym __weak;
extern int LINUX_KERNEL_VERSION __kconfig;
extern enum tristate CONFIG_BPF __kconfig;
extern _Bool CONFIG_X __kconfig __weak;
extern char CONFIG_NAME[20] __kconfig __weak;
extern int global_subprogram(int x);
extern int shared_data;
extern int unused_extern __ksym;
int weak_subprogram(int x) __weak;
__weak int weak_subprogram(int x) { return x * 2; }
__hidden __noinline int hidden_subprogram(int x) { return weak_subprogram(x) + 1; }

SEC("tp_btf/task_newtask")
int on_new_task(void *ctx) {
    struct bpf_iter_num it;
    int *v, sum = 0;
    struct task_struct *t = bpf_task_acquire(*(struct task_struct **)ctx);
    if (t && &bpf_task_release)
        bpf_task_release(t);
    bpf_iter_num_new(&it, 0, 10);
    while ((v = bpf_iter_num_next(&it)))
        sum += *v;
    bpf_iter_num_destroy(&it);
    if (LINUX_KERNEL_VERSION > 0x60000 && CONFIG_BPF == YES && CONFIG_X)
        sum += CONFIG_NAME[3];
    return sum + (&runqueues ? 1 : 0) + (&bpf_prog_active != 0) + global_subprogram(sum) + shared_data + hidden_subprogram(2);
}
