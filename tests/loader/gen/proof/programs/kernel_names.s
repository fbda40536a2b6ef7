# Names of the kernel that nothing declares: functions that are called, and an address; another is weak and missing.
        .section tc,"ax",@progbits
        .globl  lock
        .type   lock,@function
lock:   call    bpf_rcu_read_lock
        call    bpf_rcu_read_unlock
        call    bpf_rcu_read_lock
        call    bpf_rcu_read_unlock
        mov     %r0,0
        exit
        .size   lock,.-lock

        .section raw_tp/sys_enter,"ax",@progbits
        .globl  look
        .type   look,@function
look:   lddw    %r1,vfs_read
        lddw    %r2,no_such_address
        mov     %r0,0
        exit
        .size   look,.-look
        .weak   no_such_address

        .section license,"a",@progbits
        .asciz  "GPL"
