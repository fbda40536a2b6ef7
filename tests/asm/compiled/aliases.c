// Other names, also weak ones, for functions and data.
int original(int x) { return x + 1; }
extern int other_name(int) __attribute__((alias("original")));
extern int weak_name(int) __attribute__((weak, alias("original")));
int datum = 4;
extern int datum_too __attribute__((alias("datum")));
__attribute__((section("tc"), used)) int caller(void *c) { return other_name(2) + weak_name(3) + datum_too; }
