// mcpu: v4
// Loads that acquire and stores that release, of every size, and v4's other instructions.
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
u64 acquire(u8 *a, u16 *b, u32 *c, u64 *d) {
    return __atomic_load_n(a, __ATOMIC_ACQUIRE) + __atomic_load_n(b, __ATOMIC_ACQUIRE) + __atomic_load_n(c, __ATOMIC_ACQUIRE)
        + __atomic_load_n(d + 1, __ATOMIC_ACQUIRE) + __atomic_load_n(d, __ATOMIC_RELAXED);
}
void release(u8 *a, u16 *b, u32 *c, u64 *d, u64 v) {
    __atomic_store_n(a, v, __ATOMIC_RELEASE); __atomic_store_n(b, v, __ATOMIC_RELEASE);
    __atomic_store_n(c - 1, v, __ATOMIC_RELEASE); __atomic_store_n(d, v, __ATOMIC_RELEASE); __atomic_store_n(d, 7, __ATOMIC_RELAXED);
}
long long signed_work(signed char *a, short *b, int *c, long long d, int e) {
    return *a + *b + *c + d / e + d % (e + 1) + (signed char)d + (short)e + (long long)(int)d + e / 3 + e % 7;
}
void immediate(u8 *a, u16 *b, u32 *c, u64 *d) { *a = 1; *b = 2; *c = 3; *d = -4; }
u64 swap(u64 a, u32 b, u16 c) { return __builtin_bswap64(a) + __builtin_bswap32(b) + __builtin_bswap16(c); }
