# Global data without types.
        .data
        .globl  number
        .type   number,@object
number: .quad   40
        .size   number,8
        .section .rodata,"a",@progbits
step:   .long   2, 0
        .section .rodata.texts,"aMS",@progbits,1
text:   .asciz  "number %d"
        .bss
        .globl  last
last:   .zero   4096

        .section socket,"ax",@progbits
        .globl  count
        .type   count,@function
count:  lddw    %r6,number
        lddw    %r7,step
        lddw    %r8,last+4088
        ldxw    %r1,[%r7+0]
        ldxdw   %r3,[%r6+0]
        add     %r3,%r1
        stxdw   [%r6+0],%r3
        stxdw   [%r8+0],%r3
        lddw    %r1,text
        mov     %r2,10
        call    bpf_trace_printk
        mov     %r0,0
        exit
        .size   count,.-count

        .section license,"a",@progbits
        .asciz  "Dual MIT/GPL"
