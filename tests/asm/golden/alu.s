#as: -EL
#objdump: -d
# Arithmetic in GNU's dialect.
        add     %r1, 5
        add     %r1, -5
        sub     %r2, %r3
        mul     %r4, 0x7fffffff
        div     %r5, %r6
        or      %r7, 0xffffffff
        and     %r8, 1
        lsh     %r9, 63
        rsh     %r1, %r2
        neg     %r3
        mod     %r4, 7
        xor     %fp, %r0
        mov     %r6, -2147483648
        arsh    %r7, 3
        sdiv    %r1, %r2
        smod    %r3, -1
        movs    %r1, %r2, 8
        movs    %r1, %r2, 32
        add32   %r1, 5
        mov32   %r2, %r3
        neg32   %r4
        arsh32  %r5, %r6
        movs32  %r7, %r8, 16
        endle   %r1, 16
        endbe   %r2, 32
        bswap   %r3, 64
        lddw    %r4, 0x1122334455667788
