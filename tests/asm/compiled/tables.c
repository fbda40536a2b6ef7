// Large initialised tables, sparse ones, tables of addresses, of functions and of differences.
#define ONE(n) (n), (n) * 7, ~(n), (n) << 3
#define FOUR(n) ONE(n), ONE((n) + 1), ONE((n) + 2), ONE((n) + 3)
#define SIXTEEN(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
static int add(int a, int b) { return a + b; }
static int sub(int a, int b) { return a - b; }
int mul(int a, int b) { return a * b; }
extern int absent(int, int);
static int (*const operations[])(int, int) = {add, sub, mul, absent, 0};
static const unsigned numbers[] = {SIXTEEN(0), SIXTEEN(16), SIXTEEN(32), SIXTEEN(48)};
static const unsigned char bytes[256] = {[0 ... 9] = 1, [65 ... 90] = 2, [97 ... 122] = 3, [255] = 0x80};
static const short sparse[1000] = {[3] = 5, [999] = -1};
unsigned long long words[300] = {1, 2, [299] = 0x8000000000000000};
struct entry { char key; short length; const char *text; const struct entry *next; const void *place; };
static const struct entry entries[] = {
    {'a', 1, "alpha", &entries[1], &words[7]},
    {'b', -2, "beta", &entries[2], (char *)&words[8] + 3},
    {'c', 3, "gamma", entries, &bytes[-4]},
};
const long apart = (long)sizeof(entries);
static char zeroed[100000];
static long long counters[8] __attribute__((aligned(128)));

__attribute__((section("tc"), used)) int look_up(int i, int j) {
    zeroed[i] = j;
    counters[j & 7]++;
    return numbers[i & 255] + bytes[j & 255] + sparse[i & 511] + words[j & 255] + entries[i & 1].next->length
        + operations[i & 3](i, j);
}
