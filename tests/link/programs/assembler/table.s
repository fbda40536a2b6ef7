	.text
	.global add_table
	.type add_table, @function
add_table:				# int add_table(int x): x and the table's element of that number
	w0 = w1
	r1 &= 3
	r1 <<= 2
	r2 = table ll
	r2 += r1
	w1 = *(u32 *)(r2 + 0)
	w0 += w1
	exit
	.size add_table, . - add_table

	.global call_back
	.type call_back, @function
call_back:				# int call_back(int x): what the C function and the local one make of it
	call from_c
	r1 = r0
	call increment
	exit
	.size call_back, . - call_back

	.type increment, @function
increment:
	w0 = w1
	w0 += 1
	exit
	.size increment, . - increment

	.section .rodata, "a", @progbits
	.balign 4
	.type table, @object
table:
	.long 100, 200, 300, 400
	.size table, . - table

	.data
	.balign 4
	.global counter
	.type counter, @object
counter:
	.long 40
	.size counter, 4
