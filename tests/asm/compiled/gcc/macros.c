// Macros in inline assembly: required and default arguments, one that calls itself.
__asm__(".macro load_twice reg:req, value=3\n\tmov \\reg, \\value\n\tadd \\reg, \\value\n.endm\n"
    ".macro count_down from\n\t.if \\from\n\t.byte \\from\n\tcount_down (\\from - 1)\n\t.endif\n.endm\n");
__asm__(".section counted,\"a\",@progbits\ncountdown:\n\tcount_down 5\n\t.balign 8\n.size countdown, . - countdown\n"
    "\t.type countdown,@object\n\t.globl countdown\n\t.text\n");
long macros(long x) {
    __asm__ volatile("load_twice %0\n\tload_twice %0, value=9" : "+r"(x));
    return x;
}
