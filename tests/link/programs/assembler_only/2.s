	.text
padding:
	exit
	.global square
	.type square, @function
square:
	r0 = r1
	r0 *= r1
	exit
	.size square, . - square

	.data
	.long 1
	.global number
	.type number, @object
number:
	.long 600
	.size number, 4
	.section license, "aw", @progbits
	.asciz "GPL"
