# The exercise of docs/tutorial.md: count packets by their kind, in a hash table.

        .section maps,"aw",@progbits
kinds:  .long   1, 2, 8, 64             # a hash table: keys of 2 bytes, values of 8, 64 entries

        .section xdp,"ax",@progbits
        .globl  by_kind
        .type   by_kind, @function
by_kind:
        r2 = *(u32 *)(r1 + 0)           # data
        r3 = *(u32 *)(r1 + 4)           # data_end
        r4 = r2
        r4 += 14
        if r4 > r3 goto done            # no whole Ethernet header

        r4 = *(u16 *)(r2 + 12)
        *(u16 *)(r10 - 2) = r4          # the key, for both calls
        r1 = %map(kinds) ll
        r2 = r10
        r2 += -2
        call bpf_map_lookup_elem
        if r0 == 0 goto first

        r1 = 1
        lock *(u64 *)(r0 + 0) += r1
        goto done

first:  stdw    [%r10-16], 1            # the value
        ldimm64 %r1, %map(kinds)        # %r1 to %r5 are gone after a call
        mov     %r2, %r10
        add     %r2, -2
        mov     %r3, %r10
        add     %r3, -16
        mov     %r4, 0                  # BPF_ANY
        call    bpf_map_update_elem
done:   mov     %r0, 2                  # XDP_PASS
        exit
