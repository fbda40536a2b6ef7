// A function for other objects to call; clang writes it as an object (build.sh).

#include <linux/bpf.h>

unsigned long long packet_length(struct xdp_md *context)
{
    return (long)context->data_end - (long)context->data;
}
