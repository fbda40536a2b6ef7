# golden.o: BPF object, big-endian (to assemble again: -EB)

    .section .text,"ax",@progbits
    .p2align 3
    ldxb %r1, [%r2+1]                    # 0: 71 12 00 01 00 00 00 00
    ldxh %r1, [%r2-2]                    # 8: 69 12 ff fe 00 00 00 00
    ldxw %r3, [%r4+0]                    # 10: 61 34 00 00 00 00 00 00
    ldxdw %r5, [%r10-8]                  # 18: 79 5a ff f8 00 00 00 00
    ldxsw %r6, [%r7+32767]               # 20: 81 67 7f ff 00 00 00 00
    ldxsb %r6, [%r7-32768]               # 28: 91 67 80 00 00 00 00 00
    stb [%r1+0], 7                       # 30: 72 10 00 00 00 00 00 07
    stxdw [%r10-16], %r1                 # 38: 7b a1 ff f0 00 00 00 00
    stxw [%r1+4], %r2                    # 40: 63 12 00 04 00 00 00 00
    stdw [%r1+8], -1                     # 48: 7a 10 00 08 ff ff ff ff
    ldabsw 12                            # 50: 20 00 00 00 00 00 00 0c
    ldindb %r1, 4                        # 58: 50 01 00 00 00 00 00 04
    aadd [%r1+0], %r2                    # 60: db 12 00 00 00 00 00 00
    aor32 [%r1+4], %r2                   # 68: c3 12 00 04 00 00 00 40
    afxor [%r1+0], %r3                   # 70: db 13 00 00 00 00 00 a1
    axchg32 [%r1+8], %r4                 # 78: c3 14 00 08 00 00 00 e1
    acmp [%r1+0], %r5                    # 80: db 15 00 00 00 00 00 f1
    ldacqh %r1, [%r2+2]                  # 88: cb 12 00 02 00 00 01 00
    streldw [%r2+8], %r1                 # 90: db 21 00 08 00 00 01 10
    addr_space_cast %r1, %r2, 0, 1       # 98: bf 12 00 01 00 00 00 01
