// Inline assembly in GNU's dialect: labels, conditions, repetition, sections pushed, data of all sizes.
__asm__(".set answer, 42\nanswer_too = answer + 1\n.equ shifted, answer << 2\n");
__asm__(".pushsection data_of_all, \"aw\"\n"
    "\t.byte 1, -1, 'a'\n\t.2byte 2\n\t.short 3, 4\n\t.half 4\n\t.4byte 5\n\t.long 6, -7\n\t.int 8\n\t.word 8\n\t.8byte 9\n"
    "\t.dword 3\n\t.quad 10, 1 << 40\n\t.ascii \"one\", \"two\\0\"\n\t.asciz \"three\"\n\t.string \"four\"\n\t.zero 3\n\t.skip 5, 0xff\n"
    "\t.space 2\n\t.fill 3, 2, 0x1234\n\t.balign 16\n\t.uleb128 300\n\t.sleb128 -300\n\t.octa 0x112233445566778899aabbccddeeff00\n"
    ".rept 3\n\t.byte 7\n.endr\n.irp n, 1, 2, 3\n\t.short \\n\n.endr\n.irpc c, 456\n\t.byte \\c\n.endr\n"
    "\t.org 200\n\t.byte 0xaa\n\t.hidden inner\ninner:\n\t.popsection\n");
long directives(long x) {
    __asm__ volatile("add %0, answer\n\tadd %0, answer_too" : "+r"(x));
    __asm__ volatile(".rept 4\n\tmul %0, 3\n.endr" : "+r"(x));
    __asm__ volatile("label_%=: sub %0, 1\n\tjsgt %0, 0, label_%=" : "+r"(x));
    __asm__ volatile(".Lstay%=:\n\t.pushsection .places,\"a\",@progbits\n\t.balign 8\n\t.8byte .Lstay%=\n\t.long 5\n\t.popsection" ::);
    __asm__ volatile("# a comment\n\t/* another */ xor %0, 1\n\t" : "+r"(x));
    __asm__ volatile(".if answer == 42 && 1\n\tor %0, 4\n\t.elseif 1\n\t.error \"not here\"\n\t.endif" : "+r"(x));
    __asm__ volatile(".ifdef answer\n\tand %0, 0xff\n.endif\n.ifndef nothing\n\tlsh %0, 1\n.endif" : "+r"(x));
    __asm__ volatile("1:\tlddw %%r2, 0x123456789\n\tadd %0, %%r2\n\tjne %0, 5, 2f\n\tja 1b\n2:\n\tstxdw [%%fp+-8], %0" : "+r"(x)::"r2");
    __asm__ volatile("endbe %0, 16\n\tneg %0\n\tarsh %0, 3\n\txadddw [%%r10+-16], %0" : "+r"(x));
    return x;
}
