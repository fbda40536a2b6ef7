#as: -EL
# What instructions cannot be: each line is wrong in its own way.
        frobnicate %r1
        ad      %r1, 2
        add     %r1
        add     %r1, %r12
        r1 = r99
        mov     %r1, 0x1ffffffff
        ja      40000000
        goto    70000
        ldxw    %r1, [%r2+32768000]
        r1 = *(u8 *)(r2 + foo) + 1
        endle   %r1, 24
        r1 = le16 r2
        r0 = cmpxchg_64(r1 + 0, r2, r3)
        mov32   r1, %map(hashes)
        call    %r1, %r2
        if r1 > 5 goto
        r1 =
        r1 == 5
        lock r1 += 2
        stw     [%r1+4], %r2, 5
        movs    %r1, %r2, 7
