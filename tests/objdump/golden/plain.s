# Nothing but instructions: no symbols, no relocations.
        lddw %r1, 0x1122334455667788
        ld_pseudo %r2, 4, 0x0000000800000001
        ldxsw %r3, [%r1-4]
        r0 = *(u8 *)skb[14]
        r0 = *(u16 *)skb[r3 + 2]
        r5 = load_acquire((u64 *)(r1 + 8))
        r0 = cmpxchg_64(r1 + 8, r0, r2)
        w4 = (s8) w5
        r4 = be16 r4
        may_goto +1
        goto -2
        callx r1
        call_kfunc 2345, 1
        exit
