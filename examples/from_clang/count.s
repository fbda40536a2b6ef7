	.file	"count.c"
	.section	xdp,"ax",@progbits
	.globl	xdp_count                       # -- Begin function xdp_count
	.p2align	3
	.type	xdp_count,@function
xdp_count:                              # @xdp_count
# %bb.0:
	r6 = r1
	call packet_length
	r1 = r0
	w0 = 1
	*(u64 *)(r10 - 8) = r1
	w3 = *(u32 *)(r6 + 4)
	w2 = *(u32 *)(r6 + 0)
	r4 = shortest ll
	w4 = *(u32 *)(r4 + 0)
	if r1 < r4 goto LBB0_6
# %bb.1:
	r1 = r2
	r1 += 14
	if r1 > r3 goto LBB0_6
# %bb.2:
	r1 = 1
	r3 = packets ll
	r1 = atomic_fetch_add((u64 *)(r3 + 0), r1)
	w1 = *(u8 *)(r2 + 13)
	w2 = *(u8 *)(r2 + 12)
	r2 <<= 8
	r2 |= r1
	*(u64 *)(r10 - 16) = r2
	r2 = r10
	r2 += -16
	r1 = hashmap_def ll
	call 1
	if r0 == 0 goto LBB0_4
# %bb.3:
	r1 = *(u64 *)(r10 - 8)
	r1 = atomic_fetch_add((u64 *)(r0 + 0), r1)
	goto LBB0_5
LBB0_4:
	r2 = r10
	r2 += -16
	r3 = r10
	r3 += -8
	r1 = hashmap_def ll
	r4 = 0
	call 2
LBB0_5:
	w0 = 2
LBB0_6:
	exit
.Lfunc_end0:
	.size	xdp_count, .Lfunc_end0-xdp_count
                                        # -- End function
	.type	hashmap_def,@object             # @hashmap_def
	.section	maps,"aw",@progbits
	.globl	hashmap_def
	.p2align	2, 0x0
hashmap_def:
	.long	1                               # 0x1
	.long	8                               # 0x8
	.long	8                               # 0x8
	.long	256                             # 0x100
	.size	hashmap_def, 16

	.type	shortest,@object                # @shortest
	.section	.rodata,"a",@progbits
	.globl	shortest
	.p2align	2, 0x0
shortest:
	.long	14                              # 0xe
	.size	shortest, 4

	.type	packets,@object                 # @packets
	.section	.bss,"aw",@nobits
	.globl	packets
	.p2align	3, 0x0
packets:
	.quad	0                               # 0x0
	.size	packets, 8

	.type	_license,@object                # @_license
	.section	license,"aw",@progbits
	.globl	_license
_license:
	.asciz	"GPL"
	.size	_license, 4

	.addrsig
	.addrsig_sym xdp_count
	.addrsig_sym hashmap_def
	.addrsig_sym shortest
	.addrsig_sym packets
	.addrsig_sym _license
