"""Types as text, in which those of different byte orders and string sections can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf


def types_of(data: bytes, *, with_parameters: bool = True) -> str:
    """All types, a line for each with its number; `with_parameters` with the names of parameters."""
    order = ByteOrder.LITTLE if data[:1] == b"\x9f" else ByteOrder.BIG
    types = read_btf(data, order, "types")
    lines = []
    for type_id in range(1, len(types) + 1):
        words = types.words[types.starts[type_id] + 1 : types.starts[type_id + 1]]
        name = f" '{types.name(type_id)}'"
        lines.append(f"{type_id} {types.kind(type_id).name}{name} {words[0]:#x} {words[1]}")
        lines += [f"  {entry}" for entry in _entries(types, type_id, with_parameters)]
    return "".join(f"{line}\n" for line in lines)


def _entries(types: Btf, type_id: int, with_parameters: bool) -> list[object]:
    match types.kind(type_id):
        case Kind.STRUCT | Kind.UNION:
            return [*types.members(type_id)]
        case Kind.ENUM | Kind.ENUM64:
            return [*types.enumerators(type_id)]
        case Kind.FUNC_PROTO:
            parameters = types.parameters(type_id)
            return [*parameters] if with_parameters else [parameter.type_id for parameter in parameters]
    start = types.starts[type_id] + 3
    return [*types.words[start : types.starts[type_id + 1]]]
