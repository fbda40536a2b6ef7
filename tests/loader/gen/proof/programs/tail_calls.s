# Maps and calls by number, as iproute2 has them: maps in a map, programs in a map by the names of their sections.
        .section maps,"aw",@progbits
        .globl  inner, outer, calls
#               type key value entries flags id pinning inner_id inner_idx
inner:  .long   1,   4,  8,    2,      0,    7, 0,      0,       0
outer:  .long   12,  4,  4,    3,      0,    8, 0,      7,       1
calls:  .long   3,   4,  4,    4,      0,    9, 0,      0,       0

        .section 9/0,"ax",@progbits
        .globl  first
        .type   first,@function
first:  mov     %r0,0
        exit
        .size   first,.-first
        .section 9/2,"ax",@progbits
        .globl  second
        .type   second,@function
second: mov     %r0,1
        exit
        .size   second,.-second

        .section classifier,"ax",@progbits
        .globl  start
        .type   start,@function
start:  lddw    %r2,calls
        mov     %r3,2
        call    bpf_tail_call
        mov     %r0,-1
        exit
        .size   start,.-start

        .section license,"a",@progbits
        .asciz  "GPL"
