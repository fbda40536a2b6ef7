#as: -EL
#objdump: -h -t
# Sections with their types, flags and alignment, and symbols with theirs.
        .text
        exit
        .section maps,"aw",@progbits
        .globl  hashes
        .type   hashes, @object
        .size   hashes, 16
        .p2align 3
hashes: .long   1, 4, 8, 16
        .section .rodata.str,"aMS",@progbits,1
        .asciz  "text"
        .bss
        .balign 16
buffer: .skip   100
        .lcomm  more, 10, 8
        .comm   shared, 24, 8
        .weak   maybe
        .hidden maybe
        .set    five, 5
        .pushsection license,"aw"
        .string "GPL"
        .popsection
