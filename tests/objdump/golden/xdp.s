# The shape of a real program: a map, a subprogram, branches both ways, data and read-only data.
        .section maps,"aw",@progbits
        .globl  hashmap_def
        .type   hashmap_def, @object
        .size   hashmap_def, 16
hashmap_def:
        .long   1, 4, 8, 16

        .data
counter:
        .quad   41
        .quad   counter
        .globl  table
table:
        .quad   prog
        .long   1

        .section .rodata,"a",@progbits
message:
        .asciz  "packet \"%d\"\n"
        .zero   20
        .byte   1, 2, 3

        .bss
        .globl  buffer
        .type   buffer, @object
        .size   buffer, 64
buffer:
        .skip   64

        .text
        .globl  helper
        .type   helper, @function
helper:
        mov     %r0, %r1
        neg     %r0
        exit
        .size   helper, .-helper
        .type   twice, @function
twice:
        r0 = r1
        r0 += r1
        exit
        .byte   0, 0, 0, 21, 0, 0, 0, 0
        .quad   twice

        .section xdp,"ax",@progbits
        .globl  prog
        .type   prog, @function
        .hidden prog
prog:
        mov     r6, r1
        stw     [r10-4], 0
        ldimm64 r1, %map(hashmap_def)
        mov     r2, r10
        add     r2, -4
        call    bpf_map_lookup_elem
        if r0 == 0 goto out
        lock *(u64 *)(r0 + 0) += r6
        r1 = counter ll
        r2 = message+8 ll
        r3 = table ll
        r4 = buffer+16 ll
        call    twice
        call    other
        call    local
        mov     %r5, size
        ldxw    %r5, [%r6+field]
again:
        add32   %r5, -1
        jne32   %r5, 0, again
        gotol   out
out:
        r0 = 2
        exit
local:
        call    pc+1000
        goto    -5
        exit
        .weak   other
        .set    absolute, 0x1234
        .globl  absolute
        .comm   shared, 8, 8
