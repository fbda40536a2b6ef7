// Signed division and modulo, which v4 has.
// mcpu: v4
long long divide(long long a, long long b, int c, signed char d) { return a / b + a % b + c / 7 + c % d + (short)c; }
