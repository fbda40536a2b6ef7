#as: -EL
#objdump: -d
#expect: alu.d
# The same arithmetic in pseudo-C.
r1 += 5; r1 += -5; r2 -= r3
r4 *= 0x7fffffff
r5 /= r6
r7 |= 0xffffffff
r8 &= 1
r9 <<= 63
r1 >>= r2
r3 = -r3
r4 %= 7
r10 ^= r0
r6 = -2147483648
r7 s>>= 3
r1 s/= r2
r3 s%= -1
r1 = (s8) r2
r1 = (s32)r2
w1 += 5
w2 = w3
w4 = -w4
w5 s>>= w6
w7 = (s16) w8
r1 = le16 r1
r2 = be32 r2
r3 = bswap64 r3
r4 = 0x1122334455667788 ll
