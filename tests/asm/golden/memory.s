#as: -EB
#objdump: -d
# Loads, stores and atomic operations in both dialects, big-endian.
        ldxb    %r1, [%r2+1]
        r1 = *(u16 *)(r2 - 2)
        w3 = *(u32 *)(r4 + 0)
        ldxdw   %r5, [%fp-8]
        ldxsw   %r6, [%r7+32767]
        r6 = *(s8 *)(r7 - 32768)
        stb     [%r1+0], 7
        stxdw   [%fp-16], %r1
        *(u32 *)(r1 + 4) = w2
        *(u64 *)(r1 + 8) = -1
        ldabsw  12
        r0 = *(u8 *)skb[r1 + 4]
        aadd    [%r1+0], %r2
        lock *(u32 *)(r1 + 4) |= w2
        r3 = atomic_fetch_xor((u64 *)(r1 + 0), r3)
        axchg32 [%r1+8], %r4
        r0 = cmpxchg_64(r1 + 0, r0, r5)
        w1 = load_acquire((u16 *)(r2 + 2))
        store_release((u64 *)(r2 + 8), r1)
        r1 = addr_space_cast(r2, 0, 1)
