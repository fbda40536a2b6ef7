// Bitfields, signed and unsigned, and packed fields at odd offsets.
struct bits { unsigned a : 3, b : 7; int c : 12; long long d : 40; } __attribute__((packed));
struct odd { char c; short s; int i; long long l; } __attribute__((packed));
int change(struct bits *bits, struct odd *odd) {
    bits->a = bits->b;
    bits->d = bits->c;
    odd->s = odd->i;
    odd->l -= odd->s;
    return bits->c + odd->c + (int)bits->d;
}
