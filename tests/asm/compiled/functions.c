// Static and global subprograms in .text, called from another section, and across.
static __attribute__((noinline)) int square(int x) { return x * x; }
__attribute__((noinline)) int twice(int x) { return square(x) + square(x + 1); }
extern int elsewhere(int);

__attribute__((section("tc"), used)) int classify(int x) { return twice(x) + square(3) + elsewhere(x); }
