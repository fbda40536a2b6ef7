// A switch, dense and sparse.
int choose(int n, int m) {
    switch (n) {
    case 0: return m;
    case 1: return m * 3;
    case 2: return m - 7;
    case 3: return -m;
    case 4: return m / 3;
    case 900: return 5;
    case 100000: return 6;
    default: return 0;
    }
}
