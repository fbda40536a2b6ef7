// Loops and nested conditions: many labels.
int loops(int *values, int count) {
    int sum = 0;
    for (int i = 0; i < count; i++)
        for (int j = i; j < count; j++) {
            if (values[i] > values[j])
                sum += values[i];
            else if (values[j] == 7)
                continue;
            else
                sum -= j;
            if (sum > 1000)
                return sum;
        }
    while (sum > 0 && count--)
        sum >>= 1;
    return sum;
}
