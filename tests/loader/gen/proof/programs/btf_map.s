# A map and a variable described by types that are written by hand.
        .section .maps,"aw",@progbits
        .globl  counts
        .type   counts,@object
counts: .zero   32
        .size   counts,32
        .data
        .globl  number
        .type   number,@object
number: .long   7
        .size   number,4

        .section xdp,"ax",@progbits
        .globl  pass
        .type   pass,@function
pass:   stw     [%r10-4],0
        lddw    %r1,counts
        mov     %r2,%r10
        add     %r2,-4
        call    bpf_map_lookup_elem
        jeq     %r0,0,none
        lddw    %r1,number
        ldxw    %r1,[%r1+0]
        stxdw   [%r0+0],%r1
none:   mov     %r0,2
        exit
        .size   pass,.-pass
        .section license,"a",@progbits
        .asciz  "GPL"

        .section .BTF,"",@progbits
        .short  0xeb9f
        .byte   1, 0
        .long   24, 0, types_end-types, types_end-types, strings_end-strings
types:  .long   s_int-strings, 0x01000000, 4, 0x01000020                # 1: int
        .long   s_long-strings, 0x01000000, 8, 64                       # 2: unsigned long
        .long   0, 0x03000000, 0, 1, 1, 2                               # 3: int[2]
        .long   0, 0x02000000, 3                                        # 4: int (*)[2]
        .long   0, 0x03000000, 0, 1, 1, 4                               # 5: int[4]
        .long   0, 0x02000000, 5                                        # 6: int (*)[4]
        .long   0, 0x02000000, 1                                        # 7: int *
        .long   0, 0x02000000, 2                                        # 8: unsigned long *
        .long   0, 0x04000004, 32                                       # 9: struct
        .long   s_type-strings, 4, 0
        .long   s_entries-strings, 6, 64
        .long   s_key-strings, 7, 128
        .long   s_value-strings, 8, 192
        .long   s_counts-strings, 0x0e000000, 9, 1                      # 10: counts
        .long   s_maps-strings, 0x0f000001, 32, 10, 0, 32               # 11: .maps
        .long   s_number-strings, 0x0e000000, 1, 1                      # 12: number
        .long   s_data-strings, 0x0f000001, 4, 12, 0, 4                 # 13: .data
types_end:
strings:
        .byte   0
s_int:  .asciz  "int"
s_long: .asciz  "unsigned long"
s_type: .asciz  "type"
s_entries:
        .asciz  "max_entries"
s_key:  .asciz  "key"
s_value:
        .asciz  "value"
s_counts:
        .asciz  "counts"
s_maps: .asciz  ".maps"
s_number:
        .asciz  "number"
s_data: .asciz  ".data"
strings_end:
