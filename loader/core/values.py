"""What an instruction has to hold of what an access leads to.

Source: libbpf's relo_core.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import size_of
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.loader.core.compatible import ENUMS
from bpfas.loader.core.kinds import ENUMERATOR_KINDS, TYPE_KINDS, WORDS, CoreKind

if TYPE_CHECKING:
    from bpfas.loader.core.access import Access

_LONGEST_LOAD = 8
_ANYTHING = 1 << 64


class Value(NamedTuple):
    """The value, from 0 to 2^64 - 1, that an instruction is to hold.

    `is_certain`: compilers have no choice of it. `size` and `type_id` are of a field that an instruction may load
    or store as a whole (0 where it may not, as of a bit-field).
    """

    number: int
    is_certain: bool = True
    size: int = 0
    type_id: int = 0


def value_of(access: Access, kind: CoreKind) -> Value:
    """What an instruction holds of what `access` leads to. Raises BpfasError where that is nothing."""
    if kind in ENUMERATOR_KINDS:
        return Value(1 if kind is CoreKind.ENUMVAL_EXISTS else _enumerator_value(access))
    return _type_value(access, kind) if kind in TYPE_KINDS else _field_value(access, kind)


def _enumerator_value(access: Access) -> int:
    step = access.steps[0]
    number = access.btf.enumerators(step.type_id)[step.number].value
    if access.btf.kind(step.type_id) is Kind.ENUM:
        # Compilers have not always said that an enumeration is signed.
        number = sign_extended(number)
    return number % _ANYTHING


def sign_extended(number: int) -> int:
    """A number of 32 bits as a signed one."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


def _type_value(access: Access, kind: CoreKind) -> Value:
    match kind:
        case CoreKind.TYPE_ID_LOCAL | CoreKind.TYPE_ID_TARGET:
            return Value(access.root, is_certain=False)  # linkers renumber types
        case CoreKind.TYPE_SIZE:
            size = size_of(access.btf, access.root, access.pointer_size)
            if size is None:
                raise BpfasError.of(f"`{access.text}` has no size", access.btf.place)
            return Value(size)
        case _:
            return Value(1)


def _field_value(access: Access, kind: CoreKind) -> Value:
    if kind is CoreKind.FIELD_EXISTS:
        return Value(1)
    btf, last = access.btf, access.steps[-1]
    if not last.name:
        return _element_value(access, kind)
    member = btf.member(last.type_id, last.number)
    field_type = btf.without_qualifiers(member.type_id)
    if member.bit_size:
        size, offset = _load_of_bit_field(access, member.bit_size, size_of(btf, field_type) or 1)
        bits = member.bit_size
    else:
        whole = size_of(btf, field_type, access.pointer_size)
        if whole is None:
            raise BpfasError.of(f"`{access.text}` has no size", btf.place)
        size, offset, bits = whole, access.bit_offset // 8, 8 * whole
    is_whole = not member.bit_size
    match kind:
        case CoreKind.FIELD_BYTE_OFFSET:
            return Value(offset, is_whole, size, field_type) if is_whole else Value(offset, is_certain=False)
        case CoreKind.FIELD_BYTE_SIZE:
            return Value(size, is_whole)
        case CoreKind.FIELD_SIGNED:
            return Value(int(_is_signed(access, field_type)))
        case CoreKind.FIELD_LSHIFT_U64:
            if btf.order is ByteOrder.LITTLE:
                return Value((64 - (access.bit_offset + bits - 8 * offset)) % _ANYTHING, is_whole)
            return Value(((8 - size) * 8 + access.bit_offset - 8 * offset) % _ANYTHING, is_whole)
        case _:
            return Value((64 - bits) % _ANYTHING)


def _element_value(access: Access, kind: CoreKind) -> Value:
    """Of an element of an array, or the root type itself."""
    last = access.steps[-1]
    size = size_of(access.btf, last.type_id, access.pointer_size)
    if size is not None and kind is CoreKind.FIELD_BYTE_OFFSET:
        return Value(access.bit_offset // 8, True, size, last.type_id)
    if size is not None and kind is CoreKind.FIELD_BYTE_SIZE:
        return Value(size)
    message = f"`{access.text}` is an element of an array, of which there is no {WORDS[kind]} to be told"
    raise BpfasError.of(message, access.btf.place)


def _is_signed(access: Access, field_type: int) -> bool:
    btf, kind = access.btf, access.btf.kind(field_type)
    return (kind in ENUMS and btf.kflag(field_type)) or (kind is Kind.INT and btf.encoding(field_type).is_signed)


def _load_of_bit_field(access: Access, bit_size: int, size: int) -> tuple[int, int]:
    """The bytes and the offset of the smallest load, aligned to its size, that has the whole of a bit-field."""
    while True:
        offset = access.bit_offset // 8 // size * size
        if access.bit_offset + bit_size - 8 * offset <= 8 * size:
            return size, offset
        if size >= _LONGEST_LOAD:
            message = f"no load of up to {_LONGEST_LOAD} bytes has the whole bit-field `{access.text}`"
            raise BpfasError.of(message, access.btf.place)
        size *= 2
