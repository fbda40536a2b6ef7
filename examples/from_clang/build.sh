#!/bin/sh
# How count.s and length.o were made; needs clang and the kernel's headers (Debian: clang-22, gcc, linux-libc-dev).
set -eu
cd "$(dirname "$0")"
clang=${CLANG:-clang-22}
include=$(gcc -print-multiarch)
"$clang" -target bpf -O2 "-I/usr/include/$include" -S count.c -o count.s
"$clang" -target bpf -O2 "-I/usr/include/$include" -c length.c -o length.o
