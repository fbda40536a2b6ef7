/* A program without maps and without a licence. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int one_program(struct xdp_md *ctx) { return ctx->data_end - ctx->data > 60 ? XDP_PASS : XDP_DROP; }
