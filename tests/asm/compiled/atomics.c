// Atomic operations that every version has.
unsigned long long counter;
unsigned int narrow;
void add(unsigned long long n) {
    __sync_fetch_and_add(&counter, n);
    __sync_fetch_and_add(&narrow, 1);
}
