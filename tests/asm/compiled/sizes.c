// Loads, stores and conversions of every width; byte swaps.
unsigned long long widths(char *c, short *s, int *i, long long *l, unsigned n) {
    *c += n; *s += *c; *i += *s; *l += *i;
    unsigned char uc = *c; unsigned short us = *s;
    return uc + us + (unsigned long long)n + (long long)(int)n + __builtin_bswap16(us) + __builtin_bswap32(n)
        + __builtin_bswap64(*l) + (*l >> 3) + ((unsigned long long)*l >> 5) + 0x123456789abcdefULL;
}
