# xdp.o: BPF object, little-endian (to assemble again: -EL)

    .section .text,"ax",@progbits
    .p2align 3
    .globl helper
    .type helper, @function
    .size helper, 24
helper:
    r0 = r1                              # 0: bf 10 00 00 00 00 00 00
    r0 = -r0                             # 8: 87 00 00 00 00 00 00 00
    exit                                 # 10: 95 00 00 00 00 00 00 00
    .type twice, @function
twice:
    r0 = r1                              # 18: bf 10 00 00 00 00 00 00
    r0 += r1                             # 20: 0f 10 00 00 00 00 00 00
    exit                                 # 28: 95 00 00 00 00 00 00 00
    .byte 0x00, 0x00, 0x00, 0x15, 0x00, 0x00, 0x00, 0x00 # 30: opcode 0x00 is no instruction
    .quad twice                          # 38: R_BPF_64_ABS64 .text

    .section maps,"aw",@progbits
    .globl hashmap_def
    .type hashmap_def, @object
    .size hashmap_def, 16
hashmap_def:
    .byte 0x01, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00
    .byte 0x08, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00

    .section .data,"aw",@progbits
counter:
    .byte 0x29, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
    .quad counter                        # R_BPF_64_ABS64 .data
    .globl table
table:
    .quad prog                           # R_BPF_64_ABS64 prog
    .byte 0x01, 0x00, 0x00, 0x00

    .section .rodata,"a",@progbits
message:
    .byte 0x70, 0x61, 0x63, 0x6b, 0x65, 0x74, 0x20, 0x22
.L4_8:
    .asciz "%d\"\n"
    .zero 20
    .byte 0x01, 0x02, 0x03

    .section .bss,"aw",@nobits
    .globl buffer
    .type buffer, @object
    .size buffer, 64
buffer:
    .zero 64

    .section xdp,"ax",@progbits
    .p2align 3
    .globl prog
    .hidden prog
    .type prog, @function
prog:
    r6 = r1                              # 0: bf 16 00 00 00 00 00 00
    *(u32 *)(r10 - 4) = 0                # 8: 62 0a fc ff 00 00 00 00
    r1 = %map(hashmap_def) ll            # 10: 18 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00  R_BPF_64_64 hashmap_def
    r2 = r10                             # 20: bf a2 00 00 00 00 00 00
    r2 += -4                             # 28: 07 02 00 00 fc ff ff ff
    call 1                               # 30: 85 00 00 00 01 00 00 00  bpf_map_lookup_elem
    if r0 == 0 goto out                  # 38: 15 00 11 00 00 00 00 00
    lock *(u64 *)(r0 + 0) += r6          # 40: db 60 00 00 00 00 00 00
    r1 = counter ll                      # 48: 18 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00  R_BPF_64_64 .data
    r2 = .L4_8 ll                        # 58: 18 02 00 00 08 00 00 00 00 00 00 00 00 00 00 00  R_BPF_64_64 .rodata
    r3 = table ll                        # 68: 18 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00  R_BPF_64_64 table
    r4 = buffer+16 ll                    # 78: 18 04 00 00 10 00 00 00 00 00 00 00 00 00 00 00  R_BPF_64_64 buffer
    call twice                           # 88: 85 10 00 00 02 00 00 00  R_BPF_64_32 .text
    call other                           # 90: 85 10 00 00 ff ff ff ff  R_BPF_64_32 other
    call local                           # 98: 85 10 00 00 07 00 00 00
    r5 = size                            # a0: b7 05 00 00 00 00 00 00  R_BPF_64_ABS32 size
    r5 = *(u32 *)(r6 + field)            # a8: 61 65 00 00 00 00 00 00  R_BPF_GNU_64_16 field
again:
    w5 += -1                             # b0: 04 05 00 00 ff ff ff ff
    if w5 != 0 goto again                # b8: 56 05 fe ff 00 00 00 00
.L6_c0:
    gotol out                            # c0: 06 00 00 00 00 00 00 00
out:
    r0 = 2                               # c8: b7 00 00 00 02 00 00 00
    exit                                 # d0: 95 00 00 00 00 00 00 00
local:
    call pc+1000                         # d8: 85 10 00 00 e8 03 00 00
    goto .L6_c0                          # e0: 05 00 fb ff 00 00 00 00
    exit                                 # e8: 95 00 00 00 00 00 00 00

    .weak other
    .globl size
    .globl field
