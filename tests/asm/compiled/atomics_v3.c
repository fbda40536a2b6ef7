// Atomic operations since v3: fetching, exchanging, comparing.
// mcpu: v3 v4
unsigned long long counter;
unsigned int narrow;
unsigned long long all(unsigned long long n, unsigned int m) {
    unsigned long long sum = __sync_fetch_and_add(&counter, n) + __sync_fetch_and_or(&narrow, m);
    sum += __sync_fetch_and_and(&counter, n) + __sync_fetch_and_xor(&counter, n);
    sum += __sync_lock_test_and_set(&counter, n) + __sync_val_compare_and_swap(&counter, n, sum);
    return sum + __sync_val_compare_and_swap(&narrow, m, 1) + __sync_lock_test_and_set(&narrow, 2);
}
