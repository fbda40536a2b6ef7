#as: -EL
# What symbols cannot be; places at the end of the source come with their own lines.
start:  exit
start:  exit
        goto    .Lnowhere
        goto    9f
        goto    9b
        .globl  start
        .local  start
        .set    one, two
        .set    two, one
        .long   one
        .short  start
        call    start + 4
        .quad   start - elsewhere
        .quad   -start
        .zero   later
later:  .bss
        r1 = 1
        .size   start, 5 - 6
