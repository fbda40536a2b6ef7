// Types for debug information: recursive, anonymous, packed, with bits, floating, through long chains of typedefs.
typedef int number;
typedef number count;
typedef const volatile count fixed;
enum colour { RED, GREEN = 5, BLUE = -3 };
enum wide { SMALL = 1, HUGE = 0x123456789abcdefLL, LOW = -0x7fffffffffffLL };
enum later;
struct unknown;
struct list { struct list *next, **previous; struct unknown *data; };
struct left { struct right *other; };
struct right { struct left *other; struct left many[2][3]; };
union any { int i; float f; double d; long double l; _Bool b; char c; unsigned char bytes[16]; };
struct __attribute__((packed)) tight { char a; long long b; short c; };
struct __attribute__((aligned(64))) wide_struct { char a; };
struct bits { unsigned a : 1, b : 2, : 5, c : 24; signed long long d : 40; _Bool e : 1; };
struct nested {
    union { struct { int x, y; }; long long xy; };
    struct { char deep[3]; } inner, *more;
    int (*method)(struct nested *, fixed, ...);
    int tail[];
};
typedef int (*const handler[4])(void *restrict, enum colour);
typedef struct { int no_tag; } bare;
struct list head = {&head, &head.next, 0};
struct right r;
union any u = {.f = 1.5f};
struct tight t = {'x', -2, 3};
struct wide_struct w;
struct bits b = {1, 2, 3, -4, 1};
struct nested n = {{{1, 2}}, {"ab"}, &n.inner, 0, {7, 8, 9}};
bare z;
fixed f = 3;
enum wide e = HUGE;
double real = 2.5e-3;
_Bool truth = 1;
__int128 wide_number = 5;

int use(handler h, enum later *l, enum colour c) {
    struct local { int in_function; struct list *l; } here = {c, head.next};
    b.c += here.in_function;
    b.d -= b.a;
    n.tail[1] = t.b;
    return (h[1] != 0) + (l != 0) + b.c + e + here.in_function + u.i;
}
