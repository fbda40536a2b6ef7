int from_clang(int x);

static int calls = 1;
static const int table[] = { 5, 6, 7, 8 };
static const char name[] = "abc";
int factor = 2;

static __attribute__((noinline)) int twice(int x)
{
	calls += 1;
	return x * 2 + calls;
}

__attribute__((noinline)) int scale(int x)
{
	return twice(from_clang(x)) * factor;
}

__attribute__((noinline)) int pick(int x)
{
	return table[x & 3] + name[x & 1];
}

char LICENSE[] __attribute__((section("license"), used)) = "GPL";
