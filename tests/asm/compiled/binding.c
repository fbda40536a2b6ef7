// Weak, hidden and undefined symbols.
__attribute__((weak)) int replaceable(int x) { return x + 1; }
__attribute__((visibility("hidden"))) int concealed(int x) { return x + 2; }
__attribute__((weak)) int weak_data = 5;
extern int missing __attribute__((weak));
extern int needed;
int tentative __attribute__((common));
int all(int x) { return replaceable(x) + concealed(x) + weak_data + (&missing ? missing : 0) + needed + tentative; }
