# What a listing has to show.
	.title	"the title"
	.sbttl	"the subtitle"
	.file	"main.c"
	.file	1 "main.c"
	.text
	.globl	f
f:
	.loc	1 3
	mov	%r0, 1
	.macro	two a, b
	mov	%r1, \a
	one	\b
	.endm
	.macro	one a
inner\a: mov %r2, \a
	.endm
	two	1, 2
	.if	0
	mov	%r3, 3
	.elseif	1
	mov	%r4, 4; mov %r5, 5
	.else
	mov	%r6, 6
	.endif
	.rept	2
	add	%r1, 1
	.endr
	.include "part.i"
	jeq	%r1, 1, far
1:	ja	1b
	call	elsewhere
	.nolist
	exit
	.list
	.data
text:	.ascii	"a text that is longer than the lines of a listing have room for"
	.byte	1, 2, 3
	.uleb128 2f - 1f
1:	.zero	130
2:	.byte	1; .text; exit; .data; .byte 2
	.set	k, 5
	.comm	c, 8
	.eject
	.bss
	.zero	6
	.text
	.zero	8 * 0x8000
far:	exit
	.end
this is not read
