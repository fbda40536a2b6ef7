// Directives inside inline assembly: sections pushed, macros, repetition, conditions, assignments, data of all sizes.
asm(".macro load_twice reg:req, value=3\n\t\\reg = \\value\n\t\\reg += \\value\n.endm\n"
    ".macro count_down from\n\t.if \\from\n\t.byte \\from\n\tcount_down (\\from - 1)\n\t.endif\n.endm\n"
    ".set answer, 42\n.set answer_too, answer + 1\n.equ shifted, answer << 2\n");
asm(".section counted,\"a\",@progbits\ncountdown:\n\tcount_down 5\n\t.p2align 3\n.size countdown, . - countdown\n"
    "\t.type countdown,@object\n\t.globl countdown\n\t.text\n");
asm(".pushsection data_of_all, \"aw\"\n"
    "\t.byte 1, -1, 'a'\n\t.2byte 2\n\t.short 3, 4\n\t.4byte 5\n\t.long 6, -7\n\t.int 8\n\t.8byte 9\n\t.quad 10, 1 << 40\n"
    "\t.ascii \"one\", \"two\\0\"\n\t.asciz \"three\"\n\t.string \"four\"\n\t.zero 3\n\t.skip 5, 0xff\n\t.space 2\n"
    "\t.fill 3, 2, 0x1234\n\t.balign 16\n\t.uleb128 300\n\t.sleb128 -300\n\t.octa 0x112233445566778899aabbccddeeff00\n"
    ".rept 3\n\t.byte 7\n.endr\n.irp n, 1, 2, 3\n\t.short \\n\n.endr\n.irpc c, 456\n\t.byte \\c\n.endr\n"
    "\t.org 200\n\t.byte 0xaa\n\t.hidden inner\ninner:\n\t.popsection\n");
int directives(int x) {
    asm volatile("load_twice %0\n\tload_twice %0, value=9\n\t%0 += answer\n\t%0 += answer_too\n\t%0 += shifted" : "+r"(x));
    asm volatile(".ifc %0,r1\n\tr1 = 1\n.else\n\t%0 = 2\n.endif\n.ifnc %0,r9\n\t%0 += 3\n.endif" : "+r"(x));
    asm volatile(".rept 4\n\t%0 *= 3\n.endr" : "+r"(x));
    asm volatile("label_%=: %0 -= 1; if %0 s> 0 goto label_%=" : "+r"(x));
    asm volatile(".Lstay%=: .pushsection .places,\"a\",@progbits; .balign 8; .8byte .Lstay%=; .long 5; .popsection" ::);
    asm volatile("# a comment\n\t/* another */ %0 ^= 1 // and a third\n\t" : "+r"(x));
    asm volatile(".if answer == 42 && 1\n\t%0 |= 4\n\t.elseif 1\n\t.error \"not here\"\n\t.endif" : "+r"(x));
    asm volatile(".ifdef answer\n\t%0 &= 0xff\n.endif\n.ifndef nothing\n\t%0 <<= 1\n.endif" : "+r"(x));
    asm volatile("r2 = %[low]; w3 = %[neg]; %0 += r2" : "+r"(x) : [low] "i"(0x7fffffff), [neg] "i"(-1) : "r2", "r3");
    return x;
}
int used_after(int x) {
    asm goto("if %0 == 7 goto %l[seven]; goto %l1" ::"r"(x)::other, seven);
    return 1;
other:
    return 2;
seven:
    return 3;
}
