"""A program in one piece: an entry function followed by every function that it calls, directly or not.

Each program has its own copies. A function is appended where it is first met, and what it calls in turn behind it
(depth first), which is libbpf's order, so that the kernel computes the same tag for a program whichever of
the two has loaded it. Instructions come out complete but for map descriptors and what only the kernel has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.isa import SLOT_SIZE
from bpfas.loader.image.references import CodeReference
from bpfas.loader.instructions import LOAD_IMMEDIATE_64, Code, LoadSource
from bpfas.loader.spec import ExternReference, JumpTable, MapReference, ReferenceKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.image.functions import Function
    from bpfas.loader.image.references import JumpTableReference, References

_LOAD_SOURCES = {ReferenceKind.MAP_FD: LoadSource.MAP_FD, ReferenceKind.MAP_VALUE: LoadSource.MAP_VALUE}

_PRESENT = 1
"""What stands for a function's address where that is only compared with 0."""


class ComposedProgram(NamedTuple):
    """The instructions of a program, the slot at which each function begins, and what is left to loading."""

    code: Code
    positions: dict[Function, int]
    maps: tuple[MapReference, ...]
    externs: tuple[ExternReference, ...]
    jump_tables: tuple[JumpTable, ...]


def compose_program(
    entry: Function, references: Mapping[Function, References], order: ByteOrder, callback: Function | None = None
) -> ComposedProgram:
    """The program that begins with `entry`; `callback` is what the kernel calls when it throws an exception.

    `references` has an entry for every function that can be reached.
    """
    positions = _place_functions([entry] if callback is None else [entry, callback], references)
    code = Code(b"".join(function.code for function in positions), order)
    maps: list[MapReference] = []
    externs: list[ExternReference] = []
    jump_tables: list[JumpTable] = []
    for function, position in positions.items():
        for reference in references[function].maps:
            index = position + reference.instruction
            _write_map_reference(code, index, reference)
            maps.append(reference._replace(instruction=index))
        externs += (
            extern._replace(instruction=position + extern.instruction) for extern in references[function].externs
        )
        jump_tables += _place_jump_tables(references[function].jump_tables, position, code)
        for test in references[function].presence_tests:
            code.set_imm(position + test, _PRESENT)
        for call in references[function].code:
            index = position + call.instruction
            if code.opcode(index) == LOAD_IMMEDIATE_64:
                code.set_src(index, LoadSource.FUNCTION)
                code.set_imm(index + 1, 0)
            code.set_imm(index, positions[call.target] + call.offset - index - 1)
    return ComposedProgram(code, positions, tuple(maps), tuple(externs), tuple(jump_tables))


def _place_functions(
    entries: Iterable[Function], references: Mapping[Function, References]
) -> dict[Function, int]:
    """Where each function begins, counted in slots from the program's start, in the order of the places."""
    positions: dict[Function, int] = {}
    end = 0
    for entry in entries:
        # A stack of our own: chains of calls may be longer than Python's.
        pending = [iter([CodeReference(0, entry)])]
        while pending:
            call = next(pending[-1], None)
            if call is None:
                pending.pop()
            elif call.target not in positions:
                positions[call.target] = end
                end += len(call.target.code) // SLOT_SIZE
                pending.append(iter(references[call.target].code))
    return positions


def _place_jump_tables(references: Iterable[JumpTableReference], position: int, code: Code) -> Iterator[JumpTable]:
    """The tables of a function that begins at slot `position`, each once; their loads are made ready for maps."""
    loads: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for instruction, name, targets in references:
        code.set_src(position + instruction, LoadSource.MAP_VALUE)
        code.set_imm(position + instruction, 0)
        loads.setdefault((name, targets), []).append(position + instruction)
    for (name, targets), places in loads.items():
        yield JumpTable(name, tuple(places), tuple(position + target for target in targets))


def _write_map_reference(code: Code, index: int, reference: MapReference) -> None:
    code.set_src(index, _LOAD_SOURCES[reference.kind])
    code.set_imm(index, 0)
    code.set_imm(index + 1, reference.offset)
