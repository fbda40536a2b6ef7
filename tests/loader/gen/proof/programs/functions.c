/* More functions than libbpf's loader programs have room for, shared by programs, static and global ones. */
#include "proof.h"

#define FUNCTION(n) \
	static NOINLINE int small_##n(int x) { runs += x; return runs * n + x; } \
	NOINLINE int global_##n(int x) { return small_##n(x + n) ^ n; }
#define TEN(t) \
	FUNCTION(t##0) FUNCTION(t##1) FUNCTION(t##2) FUNCTION(t##3) FUNCTION(t##4) \
	FUNCTION(t##5) FUNCTION(t##6) FUNCTION(t##7) FUNCTION(t##8) FUNCTION(t##9)
TEN(1) TEN(2) TEN(3) TEN(4)

#define CALL(n) global_##n(small_##n(3))
#define CALL_TEN(t) \
	CALL(t##0) + CALL(t##1) + CALL(t##2) + CALL(t##3) + CALL(t##4) + \
	CALL(t##5) + CALL(t##6) + CALL(t##7) + CALL(t##8) + CALL(t##9)

SEC("xdp") int tens(struct xdp_md *ctx) { return CALL_TEN(1); }
SEC("xdp") int twenties(struct xdp_md *ctx) { return CALL_TEN(2); }
SEC("tc") int thirties(struct __sk_buff *skb) { return CALL_TEN(3) + small_11(1); }
SEC("tc") int forties(struct __sk_buff *skb) { return CALL_TEN(4) + small_22(2); }
