/* Two files of gcc. */
int scale(int x);
extern int factor;

static int here = 30;

__attribute__((section("xdp"), used)) int entry(void *ctx)
{
	here += 1;
	return scale(10) + factor + here;
}

char LICENSE[] __attribute__((section("license"), used)) = "GPL";
