// Inline assembly in pseudo-C: several statements on a line, numeric labels, sections pushed and popped.
int inline_assembly(int x) {
    asm volatile("r1 = %0; r1 += 5\n\tif r1 > 7 goto 1f; %0 = 0\n1:\tr1 = 0x10 ll" : "+r"(x)::"r1");
    asm volatile(".pushsection notes,\"a\"\n\t.8byte 1b; .long 7; .popsection" ::);
    asm volatile("1: r2 = 1; if r2 != 0 goto 2f; goto 1b; 2:" ::: "r2");
    return x;
}
