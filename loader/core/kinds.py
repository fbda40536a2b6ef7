"""What an instruction with a CO-RE relocation holds of a type: enum bpf_core_relo_kind.

Source: include/uapi/linux/bpf.h of Linux; libbpf 1.8.
"""

from __future__ import annotations

import enum


class CoreKind(enum.IntEnum):
    """BPF_CORE_*."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12


WORDS: dict[CoreKind, str] = {
    CoreKind.FIELD_BYTE_OFFSET: "offset",
    CoreKind.FIELD_BYTE_SIZE: "size",
    CoreKind.FIELD_EXISTS: "existence",
    CoreKind.FIELD_SIGNED: "sign",
    CoreKind.FIELD_LSHIFT_U64: "left shift",
    CoreKind.FIELD_RSHIFT_U64: "right shift",
    CoreKind.TYPE_ID_LOCAL: "id in the program",
    CoreKind.TYPE_ID_TARGET: "id in the kernel",
    CoreKind.TYPE_EXISTS: "existence",
    CoreKind.TYPE_SIZE: "size",
    CoreKind.ENUMVAL_EXISTS: "existence",
    CoreKind.ENUMVAL_VALUE: "value",
    CoreKind.TYPE_MATCHES: "match",
}
"""What messages call that which an instruction holds."""

ENUMERATOR_KINDS = frozenset({CoreKind.ENUMVAL_EXISTS, CoreKind.ENUMVAL_VALUE})
TYPE_KINDS = frozenset(
    {
        CoreKind.TYPE_ID_LOCAL,
        CoreKind.TYPE_ID_TARGET,
        CoreKind.TYPE_EXISTS,
        CoreKind.TYPE_SIZE,
        CoreKind.TYPE_MATCHES,
    }
)

EXISTENCE_KINDS = frozenset(
    {CoreKind.FIELD_EXISTS, CoreKind.TYPE_EXISTS, CoreKind.ENUMVAL_EXISTS, CoreKind.TYPE_MATCHES}
)
"""Those that ask whether there is something; they never fail."""

ZERO_IF_MISSING = EXISTENCE_KINDS | TYPE_KINDS
"""Those that give 0 where the kernel does not have what they ask for; with others the instruction is poisoned."""
