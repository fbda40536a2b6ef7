# Maps as they were defined before there was BTF, with and without flags, and a function of two programs.
        .section maps,"aw",@progbits
        .globl  counts, table, calls, prefixes
counts: .long   2, 4, 8, 4, 0
table:  .long   1, 8, 16, 10, 1
calls:  .long   3, 4, 4, 2, 0
prefixes:
        .long   11, 8, 4, 16, 1

        .text
        .type   count,@function
count:  stw     [%r10-4],1
        lddw    %r1,counts
        mov     %r2,%r10
        add     %r2,-4
        call    bpf_map_lookup_elem
        jeq     %r0,0,none
        lddw    %r1,1
        xadddw  [%r0+0],%r1
none:   mov     %r0,0
        exit
        .size   count,.-count

        .section xdp,"ax",@progbits
        .globl  pass
        .type   pass,@function
pass:   call    count
        mov     %r0,2
        exit
        .size   pass,.-pass

        .section classifier,"ax",@progbits
        .globl  classify
        .type   classify,@function
classify:
        mov     %r6,%r1
        stdw    [%r10-8],5
        lddw    %r1,table
        mov     %r2,%r10
        add     %r2,-8
        call    bpf_map_lookup_elem
        call    count
        mov     %r1,%r6
        lddw    %r2,calls
        mov     %r3,1
        call    bpf_tail_call
        mov     %r0,0
        exit
        .size   classify,.-classify

        .section license,"a",@progbits
        .asciz  "GPL"
