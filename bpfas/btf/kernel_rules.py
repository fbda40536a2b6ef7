"""What kernels want of types beyond what their format asks for, and some compilers do not give.

Without this, the kernel would refuse all types of an object. Source: btf_int_check_meta and btf_func_proto_check
of Linux's kernel/bpf/btf.c, as tried on 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.btf import Btf
from bpfas.btf.kinds import ENTRY_WORDS, HEADER_WORDS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIGNED = 1 << 24
_ENCODINGS = 0xF << 24


def with_single_encodings(btf: Btf) -> Btf:
    """`btf`, in which no INT is said to be two of signed, a character and a truth value.

    GCC 12 says of `char` that it is a signed character; kernels want one of it, and clang says signed.
    """
    words = btf.words
    for type_id in btf.ids_of_kind(Kind.INT):
        at = btf.starts[type_id] + HEADER_WORDS
        encoding = words[at] & _ENCODINGS
        if encoding & (encoding - 1):
            if words is btf.words:
                words = words[:]
            one = _SIGNED if encoding & _SIGNED else encoding & -encoding
            words[at] = words[at] & ~_ENCODINGS | one
    if words is btf.words:
        return btf
    return Btf(btf.object_name, btf.order, words, btf.starts, btf.kinds, btf.strings, btf.types_at)


def with_named_parameters(btf: Btf, functions: Iterable[int]) -> Btf:
    """`btf`, in which the parameters of these FUNCs have names, for kernels want them of all but declarations.

    Those without a name, as C allows it, are called r1 to r5, after the registers they come in.
    """
    words, added = btf.words, b""
    for function in functions:
        prototype = btf.size_or_type(function)
        at = btf.starts[prototype] + HEADER_WORDS
        for number in range(1, btf.vlen(prototype) + 1):
            if not words[at] and words[at + 1]:
                if words is btf.words:
                    words = words[:]
                words[at] = len(btf.strings) + len(added)
                added += b"r%d\0" % number
            at += ENTRY_WORDS[Kind.FUNC_PROTO]
    if words is btf.words:
        return btf
    return Btf(btf.object_name, btf.order, words, btf.starts, btf.kinds, btf.strings + added, btf.types_at)
