#as: -EL
#objdump: -d -r -t
# Labels of every kind, jumps forward and back, and what is left to the linker.
        .globl  main
        .type   main, @function
main:   r1 = 1
1:      if r1 > 10 goto 1f      # the next 1:
        r1 += 1; goto 1b
1:      call    near            // in this section
        call    far             /* in another */
        call    bpf_ktime_get_ns
        ja      .Lend
        if w1 s< 0 goto missing
        gotol   1b
.Lend:  exit
near:   exit
        .size   main, near - main
        .section other,"ax",@progbits
        exit
far:    r2 = table + 4 ll
        r3 = %map(hashes) ll
        mov     %r4, table
        goto    -2
        .data
        .globl  table
table:  .long   far, near, table
        .quad   main + 8, .Lend
