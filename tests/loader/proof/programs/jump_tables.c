/* Switches that clang makes tables of, in a program and in a function that it calls. */
#include "proof.h"

#define CASE(number, operation) case number: runs operation; break;
#define CASES \
	CASE(0, += 3) CASE(1, *= 5) CASE(2, ^= 9) CASE(3, -= 2) CASE(4, <<= 1) CASE(5, += 53) CASE(6, |= 5) \
	CASE(7, &= 97) CASE(8, *= 93) CASE(9, ^= 23) CASE(10, += 84) CASE(11, -= 62) CASE(12, ^= 64) CASE(13, *= 33)

SEC("syscall") int choose(__u64 *ctx)
{
	runs = ctx[1];
	switch (ctx[0]) {
	CASES
	default: runs = 1000;
	}
	return runs;
}

static NOINLINE int change(__u64 number)
{
	switch (number) {
	CASES
	default: runs = 2000;
	}
	return runs;
}

SEC("syscall") int choose_in_a_function(__u64 *ctx)
{
	runs = ctx[1];
	return change(ctx[0]);
}
