// Copies, clearing, structures by value, unaligned and volatile accesses, the stack.
struct big { long long a[9]; int b; short c; char d; };
struct pair { int x, y; };
struct __attribute__((packed)) header { unsigned char kind; unsigned short length; unsigned int sequence; unsigned long long stamp; };
extern void consume(void *, unsigned long);
extern volatile unsigned status;
static struct big saved;
void swap(struct pair *p) { struct pair q = {p->y, p->x}; *p = q; }
void copy(struct big *to, const struct big *from) { *to = *from; saved = *from; }
void clear(struct big *b) { __builtin_memset(b, 0, sizeof *b); }
void move(char *p) { __builtin_memmove(p + 1, p, 8); __builtin_memcpy(p + 64, p, 15); }
int local(int n) {
    char buffer[200] = "begin";
    struct big b = {{1, 2, 3}, n, 5, 'x'};
    struct pair p = {n, n + 1};
    consume(buffer, sizeof buffer);
    consume(&b, sizeof b);
    swap(&p);
    return buffer[n] + b.b + p.x;
}
unsigned long long parse(const struct header *h) {
    status = h->kind;
    return h->length + h->sequence + h->stamp + status;
}
unsigned swaps(unsigned short a, unsigned b, unsigned long long c) {
    return __builtin_bswap16(a) + __builtin_bswap32(b) + __builtin_bswap64(c);
}
