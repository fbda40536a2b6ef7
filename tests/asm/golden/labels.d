# golden.o: BPF object, little-endian (to assemble again: -EL)
# Symbols: 8
#   value  size  type     binding  visibility  section  name
#     0x0     0  section  local    default     .text
#    0x58     0  notype   local    default     .text    near
#     0x8     0  notype   local    default     other    far
#     0x0     0  section  local    default     other
#     0x0    88  func     global   default     .text    main
#     0x0     0  notype   global   default     *UNDEF*  missing
#     0x0     0  notype   global   default     .data    table
#     0x0     0  notype   global   default     *UNDEF*  hashes
# Relocations: 10
#   section  offset  type               symbol   addend
#   .text      0x28  R_BPF_64_32        other         8
#   .text      0x40  R_BPF_GNU_64_16    missing       0
#   other       0x8  R_BPF_64_64        table         4
#   other      0x18  R_BPF_64_64        hashes        0
#   other      0x2c  R_BPF_64_ABS32     table         0
#   .data       0x0  R_BPF_64_ABS32     other         8
#   .data       0x4  R_BPF_64_ABS32     .text        88
#   .data       0x8  R_BPF_64_NODYLD32  table         0
#   .data       0xc  R_BPF_64_ABS64     main          8
#   .data      0x14  R_BPF_64_ABS64     .text        80

    .section .text,"ax",@progbits
    .p2align 3
    .globl main
    .type main, @function
    .size main, 88
main:
    mov %r1, 1                           # 0: b7 01 00 00 01 00 00 00
.L1_8:
    jgt %r1, 10, .L1_20                  # 8: 25 01 02 00 0a 00 00 00
    add %r1, 1                           # 10: 07 01 00 00 01 00 00 00
    ja .L1_8                             # 18: 05 00 fd ff 00 00 00 00
.L1_20:
    call near                            # 20: 85 10 00 00 06 00 00 00
    call far                             # 28: 85 10 00 00 00 00 00 00  R_BPF_64_32 other
    call 5                               # 30: 85 00 00 00 05 00 00 00  bpf_ktime_get_ns
    ja .L1_50                            # 38: 05 00 02 00 00 00 00 00
    jslt32 %r1, 0, missing               # 40: c6 01 ff ff 00 00 00 00  R_BPF_GNU_64_16 missing
    jal .L1_20                           # 48: 06 00 00 00 fa ff ff ff
.L1_50:
    exit                                 # 50: 95 00 00 00 00 00 00 00
near:
    exit                                 # 58: 95 00 00 00 00 00 00 00

    .section other,"ax",@progbits
    .p2align 3
    exit                                 # 0: 95 00 00 00 00 00 00 00
far:
    lddw %r2, table+4                    # 8: 18 02 00 00 04 00 00 00 00 00 00 00 00 00 00 00  R_BPF_64_64 table
    lddw %r3, %map(hashes)               # 18: 18 13 00 00 00 00 00 00 00 00 00 00 00 00 00 00  R_BPF_64_64 hashes
.L2_28:
    mov %r4, table                       # 28: b7 04 00 00 00 00 00 00  R_BPF_64_ABS32 table
    ja .L2_28                            # 30: 05 00 fe ff 00 00 00 00

    .section .data,"aw",@progbits
    .globl table
table:
    .long far                            # R_BPF_64_ABS32 other
    .long near                           # R_BPF_64_ABS32 .text
    .long table                          # R_BPF_64_NODYLD32 table
    .quad main+8                         # R_BPF_64_ABS64 main
    .quad .L1_50                         # R_BPF_64_ABS64 .text

    .globl missing
    .globl hashes
