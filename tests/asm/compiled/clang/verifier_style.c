// Naked functions in the manner of the kernel's own tests: labels by %=, maps and helpers as operands, raw instructions.
#include "bpf.h"
struct { __uint(type, 1); __uint(max_entries, 1); __type(key, long long); __type(value, long long[6]); } map_hash SEC(".maps");
struct insn { __u8 code; __u8 regs; short off; int imm; };
#define INSN(c, r, o, i) ((struct insn){.code = (c), .regs = (r), .off = (o), .imm = (i)})
static __noinline __naked void subprogram(void) { asm volatile("r0 = *(u64 *)(r1 + 0); exit;" ::: __clobber_all); }

SEC("socket") __naked void lookup(void) {
    asm volatile("                  \
    r2 = r10;                       \
    r2 += -8;                       \
    r1 = 0;                         \
    *(u64*)(r2 + 0) = r1;           \
    r1 = %[map_hash] ll;            \
    call %[bpf_map_lookup_elem];    \
    if r0 == 0 goto l0_%=;          \
    r1 = *(u32*)(r0 + 0);           \
    if w1 s> 4 goto +1;             \
    w1 = 5;                         \
    r1 <<= 2; r1 s>>= 3;            \
l0_%=:                              \
    r0 = %[value]; exit;            \
"   :: __imm(bpf_map_lookup_elem), __imm_addr(map_hash), __imm_const(value, sizeof(struct insn) * 3) : __clobber_all);
}
SEC("socket") __naked void raw(void) {
    asm volatile(".8byte %[insn_1]; r0 = 0 ll; r5 = -0x1 ll; .8byte %[insn_2];\n\
l1_%=: call subprogram; goto l1_%=; if r1 & 7 goto l1_%=; exit" :: __imm_insn(insn_1, INSN(0xb7, 0, 0, 5)), __imm_insn(insn_2, INSN(0x05, 0, -1, 0)) : __clobber_all);
}
SEC("tc") int packets(void *ctx) {
    int n;
    asm volatile("r6 = %1; r0 = *(u8 *)skb[5]; r0 = *(u16 *)skb[r0]; r0 = *(u32 *)skb[14]; %0 = r0" : "=r"(n) : "r"(ctx) : "r0", "r1", "r2", "r3", "r4", "r5", "r6");
    asm volatile("lock *(u64 *)(r10 - 8) += %0; %0 = le16 %0; %0 = be32 %0; %0 = be64 %0; %0 = -%0; %0 s>>= 1" : "+r"(n) :: "memory");
    return n;
}
