# A ring buffer that is filled, and the verifier's count of what is reserved.
        .section maps,"aw",@progbits
        .globl  events
events: .long   27, 0, 0, 5000, 0

        .section tracepoint/sched/sched_switch,"ax",@progbits
        .globl  send
        .type   send,@function
send:   lddw    %r1,events
        mov     %r2,16
        mov     %r3,0
        call    bpf_ringbuf_reserve
        jeq     %r0,0,full
        stdw    [%r0+0],1
        stdw    [%r0+8],2
        mov     %r1,%r0
        mov     %r2,1
        call    bpf_ringbuf_submit
full:   mov     %r0,0
        exit
        .size   send,.-send

        .section license,"a",@progbits
        .asciz  "GPL"
