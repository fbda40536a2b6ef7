// Initialised, zero, constant and static data, with addresses in data.
unsigned long long total;
static unsigned char first = 3, second;
short shorts[3] = {1, -2, 3};
char big[4096];
const int table[] = {1, 2, 3, 4};
const char *const names[] = {"one", "two", "three"};
unsigned long long *pointer = &total;
char *inside = &big[100];

int sum(int index) {
    first += index;
    second = first;
    total += *pointer;
    return table[index & 3] + shorts[1] + names[index & 1][0] + *inside + big[index & 4095] + second;
}
