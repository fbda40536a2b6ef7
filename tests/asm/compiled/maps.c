// A map as a global in its own section, used through a helper by number.
struct map { unsigned type, key_size, value_size, max_entries; };
struct map counts __attribute__((section("maps"), used)) = {1, 4, 8, 16};
static void *(*const lookup)(void *, const void *) = (void *)1;

__attribute__((section("xdp"), used)) int count(void *context) {
    unsigned key = 0;
    unsigned long long *value = lookup(&counts, &key);
    if (value)
        *value += 1;
    return 2;
}

char _license[] __attribute__((section("license"), used)) = "GPL";
