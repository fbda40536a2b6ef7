static int calls = 1;
int factor = 2;

static __attribute__((noinline)) int twice(int x)
{
	calls += 1;
	return x * 2 + calls;
}

__attribute__((noinline)) int scale(int x)
{
	return twice(x) * factor;
}

char LICENSE[] __attribute__((section("license"), used)) = "GPL";
