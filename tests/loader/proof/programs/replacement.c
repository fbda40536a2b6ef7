/* A program with a function that others replace. */
#include "proof.h"

NOINLINE int replaced(struct xdp_md *ctx)
{
	volatile int result = 1;

	return ctx ? result : 0;
}

SEC("xdp") int target(struct xdp_md *ctx) { return replaced(ctx); }
