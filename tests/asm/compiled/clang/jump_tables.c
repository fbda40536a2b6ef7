// mcpu: v4
// Computed jumps: a dense switch through a table, and labels as values.
int table(int n, int m) {
    switch (n) {
    case 0: return m; case 1: return m * 3; case 2: return m - 7; case 3: return -m; case 4: return m / 3;
    case 5: return m ^ 9; case 6: return m | 4; case 7: return m & 12; case 8: return ~m; case 9: return m << 3;
    case 10: return m >> 2; case 11: return m * m; case 12: return m + 100; case 13: return m % 7; case 14: return 15;
    case 15: return m * 5 + 1; case 16: return m - 99; case 17: return 1; case 18: return m ^ 0x55; case 19: return m * 17;
    default: return 0;
    }
}
int labels(int n) {
    static void *const places[] = {&&zero, &&one, &&two};
    int r = 1;
    goto *places[n % 3];
zero: r += 5;
one: r *= 3;
two: return r + n;
}
__attribute__((section("syscall"))) int elsewhere(int *ctx) {
    switch (ctx[0]) {
    case 0: ctx[1] = 5; break; case 1: ctx[2] = 6; break; case 2: ctx[3] = 7; break; case 3: ctx[4] = 8; break;
    case 4: ctx[5] = 9; break; case 5: ctx[6] = 10; break; case 6: ctx[7] = 11; break; case 7: ctx[8] = 12; break;
    case 8: ctx[9] = 13; break; case 9: ctx[10] = 14; break; case 10: ctx[11] = 15; break; case 11: ctx[12] = 16; break;
    case 12: ctx[13] = 17; break; case 13: ctx[14] = 18; break; case 14: ctx[15] = 19; break; case 15: ctx[16] = 1; break;
    }
    return 0;
}
