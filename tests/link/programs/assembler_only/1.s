# Two files of an assembler: nothing has types.
	.section xdp, "ax", @progbits
	.global entry
	.type entry, @function
entry:
	r1 = 6
	call square
	r6 = r0
	r1 = number ll
	w1 = *(u32 *)(r1 + 0)
	w6 += w1
	w0 = w6
	exit
	.size entry, . - entry
	.section license, "aw", @progbits
	.asciz "GPL"
