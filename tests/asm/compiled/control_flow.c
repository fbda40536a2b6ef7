// Loops of all sorts, early exits, goto, nested conditions of every comparison, in 32 and 64 bits.
typedef unsigned long long u64;
typedef long long s64;
typedef unsigned int u32;
int compare(s64 a, s64 b, int c, int d) {
    int r = 0;
    if (a < b) r |= 1; if (a <= 100) r |= 2; if (a > b) r ^= 4; if (a >= -5) r += 8; if (a == b) r -= 16;
    if (a != 7) r *= 3; if ((u64)a < (u64)b) r += 5; if ((u64)a >= 0x7fffffff) r += 6; if (a & b) r += 7;
    if (c < d) r += 9; if (c >= 100) r += 10; if ((u32)c > (u32)d) r += 11; if (c & 0x80) r += 12; if (c != d) r += 13;
    return r;
}
u64 arithmetic(u64 a, u64 b, u32 c, u32 d) {
    a += b * 3; a -= c; a /= b | 1; a %= d | 1; a <<= c & 63; a >>= 3; a = (s64)a >> 5; a ^= b & c; a = -a; a |= ~b;
    c += d * 5; c -= 7; c /= d | 1; c %= 1000; c <<= d & 31; c >>= 2; c = (int)c >> 4; c ^= d; c = -c;
    return a + c + 0x123456789abcdef0ULL + (u64)-1 + 0x80000000 + (s64)(int)c + (short)b + (signed char)a + (unsigned char)d;
}
int search(const int *values, int length) {
    int best = -1;
#pragma unroll 4
    for (int i = 0; i < length; i++) {
        if (values[i] == 42)
            goto found;
        if (values[i] < 0)
            continue;
        do { best += values[i] >> 1; } while (best < 10);
        while (best > 100)
            best /= 2;
    }
    return best;
found:
    for (;;) {
        if (best++ > length)
            break;
    }
    return best;
}
static __attribute__((noinline)) int even(int);
static __attribute__((noinline)) int odd(int n) { return n ? even(n - 1) : 0; }
static int even(int n) { return n ? odd(n - 1) : 1; }
static inline __attribute__((always_inline)) int inlined(int a) { return a * a + even(a); }
int parity(int n) { return inlined(n) + inlined(n + 1); }
