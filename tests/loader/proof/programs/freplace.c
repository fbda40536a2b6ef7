/* What replaces a function of another program. */
#include "proof.h"

SEC("freplace/replaced") int replacement(struct xdp_md *ctx) { count(); return XDP_PASS; }
