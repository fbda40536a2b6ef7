# A function for other objects to call, in pseudo-C: the length of the packet behind an xdp_md.

        .text
        .globl  packet_length
        .type   packet_length, @function
packet_length:
        r0 = *(u32 *)(r1 + 4)           // xdp_md.data_end
        r2 = *(u32 *)(r1 + 0)           // xdp_md.data
        r0 -= r2
        exit
        .size   packet_length, .-packet_length
