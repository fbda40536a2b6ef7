"""A loaded program's code as people read it: instructions in pseudo-C with functions and lines of the source.

The verifier has put addresses in the place of names: a call's immediate is the distance of a kernel function from
`__bpf_call_base`, a map is known by its id. What /proc/kallsyms and the program's BTF tell is told. Source: what
kernel/bpf/syscall.c gives out (documented by `bpftool prog dump`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind
from bpfas.elf.constants import HOST_ORDER
from bpfas.helpers import HELPERS_BY_NUMBER
from bpfas.isa import SLOT_SIZE, DecodeError, Dialect, decode, format_instruction
from bpfas.loader.instructions import CALL, LOAD_IMMEDIATE_64, CallSource, Code, LoadSource
from bpfas.loader.kernel.kallsyms import addresses_in, names_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bpfas.btf.btf import Btf
    from bpfas.loader.syscall import ProgramCode

_FUNC_WORDS, _LINE_WORDS = 2, 4
_CALL_BASE = "__bpf_call_base"
_ADDRESS = 1 << 64


class SourceLine(NamedTuple):
    """A line of the source: its file, number and text."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.text} @ {self.file}:{self.line}"


class ShownInstruction(NamedTuple):
    """An instruction: its slot, bytes and text; the function that begins there, and the line that does."""

    slot: int
    data: bytes
    text: str
    function: str = ""
    source: SourceLine | None = None


class MachineFunction(NamedTuple):
    """A function of the machine code: its name, address and bytes, and the lines that begin at an address."""

    name: str
    address: int
    data: bytes
    lines: Mapping[int, SourceLine]


def instructions(code: ProgramCode, types: Btf | None, kallsyms: bytes = b"") -> Iterator[ShownInstruction]:
    """The instructions after verification. `kallsyms` are the kernel's symbols, which tell what calls call."""
    slots = Code(code.xlated, HOST_ORDER)
    functions = _function_names(code, types)
    lines = dict(_changes(_all_lines(code, types)))
    called = _called(slots, kallsyms)
    for index in slots.starts():
        size = 2 * SLOT_SIZE if slots.opcode(index) == LOAD_IMMEDIATE_64 else SLOT_SIZE
        data = code.xlated[index * SLOT_SIZE : index * SLOT_SIZE + size]
        text = _text(slots, index, functions, called)
        yield ShownInstruction(index, data, text, functions.get(index, ""), lines.get(index))


def machine_functions(code: ProgramCode, types: Btf | None, name: str) -> list[MachineFunction]:
    """The functions of the machine code; `name` is the program's, for one whose BTF names no functions."""
    names = [*_function_names(code, types).values()] or [name]
    records = zip(code.lines, _all_lines(code, types), strict=False)
    line_at = dict(_changes((address, line) for address, (_, line) in records))
    found = []
    start = 0
    lengths = code.lengths or [len(code.jited)]
    for number, length in enumerate(lengths):
        address = code.functions[number] if number < len(code.functions) else 0
        within = {at: line for at, line in line_at.items() if address <= at < address + length}
        shown = names[number] if number < len(names) else f"function {number}"
        found.append(MachineFunction(shown, address, code.jited[start : start + length], within))
        start += length
    return found


def _function_names(code: ProgramCode, types: Btf | None) -> dict[int, str]:
    """The functions by the slots that they begin at."""
    if types is None:
        return {}
    records = zip(code.func_info[::_FUNC_WORDS], code.func_info[1::_FUNC_WORDS], strict=True)
    return {slot: types.name(type_id) for slot, type_id in records if _is_function(types, type_id)}


def _is_function(types: Btf, type_id: int) -> bool:
    return 0 < type_id <= len(types) and types.kind(type_id) is Kind.FUNC


def _all_lines(code: ProgramCode, types: Btf | None) -> Iterator[tuple[int, SourceLine]]:
    """The slot and line of every record."""
    if types is None:
        return
    words = code.line_info
    for start in range(0, len(words), _LINE_WORDS):
        slot, file, text, place = words[start : start + _LINE_WORDS]
        yield slot, SourceLine(types.string(file), place >> 10, types.string(text).strip())


def _changes(places: Iterable[tuple[int, SourceLine]]) -> Iterator[tuple[int, SourceLine]]:
    """Those places at which another line begins."""
    last: SourceLine | None = None
    for place, line in places:
        if line != last:
            yield place, line
            last = line


def _called(slots: Code, kallsyms: bytes) -> Mapping[int, str]:
    """The kernel's functions by the immediates of the calls, as far as the symbols tell."""
    (base,) = addresses_in(kallsyms, [_CALL_BASE])[_CALL_BASE] or {0}
    if not base:
        return {}
    numbers = {
        slots.imm(index)
        for index in slots.starts()
        if slots.opcode(index) == CALL and slots.src(index) != CallSource.FUNCTION
    }
    names = names_at(kallsyms, {(base + number) % _ADDRESS for number in numbers})
    return {number: names[(base + number) % _ADDRESS] for number in numbers if (base + number) % _ADDRESS in names}


def _text(slots: Code, index: int, functions: Mapping[int, str], called: Mapping[int, str]) -> str:
    opcode, src, imm = slots.opcode(index), slots.src(index), slots.imm(index)
    if opcode == CALL:
        return _call_text(slots, index, functions, called)
    if opcode == LOAD_IMMEDIATE_64 and src in _LOADS:
        return f"r{slots.dst(index)} = " + _LOADS[LoadSource(src)].format(imm, slots.imm(index + 1))
    if opcode == LOAD_IMMEDIATE_64 and src == LoadSource.FUNCTION:
        return f"r{slots.dst(index)} = {_function_text(index + 1 + imm, functions, 'subprog')}"
    try:
        return format_instruction(decode(slots.data, index * SLOT_SIZE, slots.order), Dialect.PSEUDOC)
    except DecodeError:
        return f".8byte {int.from_bytes(slots.data[index * SLOT_SIZE : (index + 1) * SLOT_SIZE], 'little'):#018x}"


_LOADS = {LoadSource.MAP_FD: "map[id:{0}]", LoadSource.MAP_VALUE: "map[id:{0}][0]+{1}"}


def _call_text(slots: Code, index: int, functions: Mapping[int, str], called: Mapping[int, str]) -> str:
    number, src = slots.imm(index), slots.src(index)
    if src == CallSource.FUNCTION:
        # The JIT leaves the distance in the offset, and the function's number in the immediate.
        distance = slots.offset(index) or number
        return f"call pc{distance:+d} <{_function_text(index + 1 + distance, functions, 'function')}>"
    if number in called:
        return f"call {called[number]}#{number}"
    helper = HELPERS_BY_NUMBER.get(number) if src == CallSource.HELPER else None
    return f"call {helper.name if helper else 'unknown'}#{number}"


def _function_text(slot: int, functions: Mapping[int, str], word: str) -> str:
    return functions.get(slot) or f"{word} at {slot}"
