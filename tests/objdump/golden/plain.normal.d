# plain.o: BPF object, little-endian (to assemble again: -EL)

    .section .text,"ax",@progbits
    .p2align 3
    lddw %r1, 1234605616436508552        # 0: 18 01 00 00 88 77 66 55 00 00 00 00 44 33 22 11
    ld_pseudo %r2, 4, 34359738369        # 10: 18 42 00 00 01 00 00 00 00 00 00 00 08 00 00 00
    ldxsw %r3, [%r1-4]                   # 20: 81 13 fc ff 00 00 00 00
    ldabsb 14                            # 28: 30 00 00 00 0e 00 00 00
    ldindh %r3, 2                        # 30: 48 30 00 00 02 00 00 00
    ldacqdw %r5, [%r1+8]                 # 38: db 15 08 00 00 01 00 00
    acmp [%r1+8], %r2                    # 40: db 21 08 00 f1 00 00 00
    movs32 %r4, %r5, 8                   # 48: bc 54 08 00 00 00 00 00
    endbe %r4, 16                        # 50: dc 04 00 00 10 00 00 00
.L1_58:
    may_goto .L1_68                      # 58: e5 00 01 00 00 00 00 00
    ja .L1_58                            # 60: 05 00 fe ff 00 00 00 00
.L1_68:
    callx %r1                            # 68: 8d 01 00 00 00 00 00 00
    call_kfunc 2345, 1                   # 70: 85 20 01 00 29 09 00 00
    exit                                 # 78: 95 00 00 00 00 00 00 00
