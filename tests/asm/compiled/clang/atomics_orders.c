// mcpu: v3 v4
// Atomic operations of every kind and order, in 32 and 64 bits, and C11's atomic types.
typedef unsigned long long u64;
_Atomic int shared;
_Atomic u64 wide = 5;
u64 fetch(u64 *p, int *q, u64 v) {
    u64 r = __atomic_fetch_add(p, v, __ATOMIC_RELAXED) + __atomic_fetch_sub(p, v, __ATOMIC_ACQ_REL) + __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);
    r += __atomic_fetch_and(p, v, __ATOMIC_ACQUIRE) + __atomic_fetch_xor(p, v, __ATOMIC_RELEASE) + __sync_fetch_and_add(q, (int)v);
    r += __sync_fetch_and_or(q, (int)v) + __sync_fetch_and_and(q, (int)v) + __sync_fetch_and_xor(q, (int)v);
    return r + __sync_add_and_fetch(p + 3, v);
}
void no_result(u64 *p, int *q, u64 v) {
    __sync_fetch_and_add(p, v); __sync_fetch_and_or(p, v); __sync_fetch_and_and(p + 1, v); __sync_fetch_and_xor(p, v);
    __sync_fetch_and_add(q, (int)v); __atomic_fetch_add(q, 1, __ATOMIC_RELAXED); __atomic_fetch_xor(q - 4, 2, __ATOMIC_RELAXED);
}
u64 exchange(u64 *p, int *q, u64 v) {
    u64 expected = 3;
    __atomic_compare_exchange_n(p, &expected, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected + __sync_lock_test_and_set(p, v) + __sync_lock_test_and_set(q, (int)v) + __sync_val_compare_and_swap(p, 1, v)
        + __sync_val_compare_and_swap(q, 2, (int)v) + __sync_bool_compare_and_swap(q, 5, 6);
}
int c11(void) { shared += 2; __c11_atomic_fetch_add(&wide, 3, __ATOMIC_SEQ_CST); return __c11_atomic_exchange(&shared, 9, __ATOMIC_ACQ_REL); }
