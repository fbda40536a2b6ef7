# An XDP program that counts the bytes of packets by EtherType, in GNU's dialect.

        .section maps,"aw",@progbits
        .globl  hashmap_def
        .type   hashmap_def, @object
        .size   hashmap_def, 16
hashmap_def:
        .long   1                       # type: BPF_MAP_TYPE_HASH
        .long   8                       # key size: the EtherType
        .long   8                       # value size: bytes seen
        .long   256                     # max entries

        .data
        .globl  packets
        .type   packets, @object
        .size   packets, 8
packets:
        .quad   0                       # packets seen, short ones not counted

        .section .rodata,"a",@progbits
        .globl  shortest
        .type   shortest, @object
        .size   shortest, 4
shortest:
        .long   14                      # bytes of an Ethernet header

        .section xdp,"ax",@progbits
        .globl  xdp_count
        .type   xdp_count, @function
xdp_count:
        mov     r6, r1
        call    packet_length           # defined in length.s
        mov     r7, r0
        ldimm64 r1, shortest
        ldxw    r1, [r1+0]
        jlt     r7, r1, drop

        ldimm64 r1, packets
        mov     r2, 1
        xadddw  [r1+0], r2

        ldxw    r2, [r6+0]              # xdp_md.data
        ldxw    r3, [r6+4]              # xdp_md.data_end
        mov     r4, r2
        add     r4, 14
        jgt     r4, r3, drop            # the verifier wants to see the bound
        ldxh    r4, [r2+12]
        endbe   r4, 16
        stxdw   [r10-8], r4             # the key

        ldimm64 r1, %map(hashmap_def)
        mov     r2, r10
        add     r2, -8
        call    bpf_map_lookup_elem
        jeq     r0, 0, first
        aadd    [r0+0], r7
        ja      pass

first:  stxdw   [r10-16], r7
        ldimm64 r1, %map(hashmap_def)
        mov     r2, r10
        add     r2, -8
        mov     r3, r10
        add     r3, -16
        mov     r4, 0
        call    bpf_map_update_elem

pass:   mov     r0, 2                   # XDP_PASS
        exit
drop:   mov     r0, 1                   # XDP_DROP
        exit
        .size   xdp_count, .-xdp_count

        .section license,"aw",@progbits
        .asciz  "GPL"
