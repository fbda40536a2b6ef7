// Sections of all names, kept, hidden and protected things, what only other objects define.
int original(int x) { return x + 1; }
int datum = 4;
__attribute__((visibility("protected"))) int guarded = 1;
__attribute__((visibility("hidden"), weak)) int shy(void);
__attribute__((visibility("internal"))) int inner_data = 2;
int in_data __attribute__((section(".data.special"))) = 3;
const int in_rodata __attribute__((section(".rodata.special"))) = 4;
int in_bss __attribute__((section(".bss.special")));
int odd_name __attribute__((section(".data.with-dash+and/slash"))) = 5;
static int kept_datum __attribute__((used, section("kept"))) = 6;
__attribute__((section("tc/a"), used)) int one(void *c) { return original(1); }
__attribute__((section("tc/b"), used)) static int two(void *c) { return (&shy ? shy() : 0) + datum + guarded + inner_data; }
__attribute__((section("?tc"), used)) int optional(void *c) { return in_data + in_rodata + in_bss + odd_name; }
__attribute__((cold)) int unlikely_code(void) { return 1; }
__attribute__((section(".text.special"))) int in_text(void) { return unlikely_code(); }
__attribute__((aligned(64))) int aligned_code(void) { return 3; }
int renamed(int x) __asm__("another$name.1");
int renamed(int x) { return x; }
char _license[] __attribute__((section("license"))) = "Dual MIT/GPL";
unsigned _version __attribute__((section("version"))) = 0x060100;
