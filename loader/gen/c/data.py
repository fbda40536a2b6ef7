"""The global data of an object in C: a struct for each section that can be mapped, constants that hold bytes.

The structs have the variables at their places, as bpftool writes them: without those that are static, with `__pad`
members between. Source: what bpftool 7 writes.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.sizes import alignment_of, size_of
from bpfas.elf.constants import ByteOrder
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.loader.gen.c.names import Words
    from bpfas.loader.gen.c.types import TypeText
    from bpfas.loader.spec import MapSpec, Variable

SIZE = 8
"""Bytes of a number in constants."""
_NUMBERS_IN_LINE = 5
_ZEROS = re.compile(rb"\0{4096,}")
_CONSERVATIVE_ALIGNMENT = 4
"""What a compiler is trusted to align by itself; pointers and longs may have 4 bytes."""
_NUMBERS = {1: "__u8", 2: "__u16", 4: "__u32", 8: "__u64"}
_INDENT = 2


class SectionStruct(NamedTuple):
    """The C text of a section's struct (without its name), of the checks of its layout, and its variables.

    `members` are the names of members by those of variables.
    """

    body: str
    checks: str
    members: dict[str, str]


def section_struct(spec: MapSpec, types: TypeText | None, words: Words, identifier: str) -> SectionStruct:
    """The struct for the data of a map, which the skeleton `s` points to by the member `identifier`."""
    writer = _SectionWriter(spec, types, words)
    for variable in sorted(spec.variables, key=_offset_of):
        if not variable.is_static:
            writer.add(variable)
    checks = "".join(
        f"\t_Static_assert(sizeof(s->{identifier}->{member}) == {size}, \"unexpected size of '{member}'\");\n"
        f"\t_Static_assert(offsetof(__typeof__(*s->{identifier}), {member}) == {offset}, "
        f"\"unexpected place of '{member}'\");\n"
        for member, size, offset in writer.sizes
    )
    return SectionStruct("".join(f"\t\t{line};\n" for line in writer.lines), checks, writer.members)


def _offset_of(variable: Variable) -> int:
    return variable.offset


class _SectionWriter:
    """The members of one struct, in order; `sizes` are their names, sizes and offsets, in bytes."""

    def __init__(self, spec: MapSpec, types: TypeText | None, words: Words) -> None:
        self.lines: list[str] = []
        self.members: dict[str, str] = {}
        self.sizes: list[tuple[str, int, int]] = []
        self._keeps_qualifiers = spec.section == KCONFIG_SECTION
        self._types = types
        self._words = words
        self._taken: set[str] = set()
        self._end = 0
        self._pads = 0

    def add(self, variable: Variable) -> None:
        """Declare a variable at its place, unless it shares that with one before."""
        if variable.offset < self._end:
            return
        typed = self._typed(variable)
        size, alignment = typed if typed else _plain_form(variable)
        self._reach(variable.offset, min(alignment, _CONSERVATIVE_ALIGNMENT))
        name = self._words.member(variable.name, self._taken)
        text = None
        if typed and self._types:
            text = self._types.declare(variable.type_id, name, _INDENT, keeps_qualifiers=self._keeps_qualifiers)
        if text is None:
            size, alignment = _plain_form(variable)
            text = f"{_NUMBERS[size]} {name}" if size == alignment else f"unsigned char {name}[{size}]"
        if variable.offset % alignment:
            text += " __attribute__((packed))"
        self.lines.append(text)
        self.members[variable.name] = name
        self.sizes.append((name, size, variable.offset))
        self._end = variable.offset + size

    def _typed(self, variable: Variable) -> tuple[int, int] | None:
        """The size and alignment of the variable's type, if BTF has it."""
        if self._types is None or not variable.type_id:
            return None
        size = size_of(self._types.btf, variable.type_id)
        alignment = alignment_of(self._types.btf, variable.type_id)
        return None if size is None or alignment is None else (size, alignment)

    def _reach(self, offset: int, alignment: int) -> None:
        if -(-self._end // alignment) * alignment == offset:
            return
        self.lines.append(f"char __pad{self._pads}[{offset - self._end}]")
        self._pads += 1


def _plain_form(variable: Variable) -> tuple[int, int]:
    """The size and alignment that a variable without a type is declared with."""
    size = variable.size
    return (size, size) if size in _NUMBERS and not variable.offset % size else (size, 1)


def numbers(data: bytes, order: ByteOrder, indent: str) -> str:
    """Bytes as the lines of a list of 64-bit numbers, with zeros behind up to a multiple of 8.

    As numbers they are within what every compiler takes, of whatever length, and quickly read.
    """
    data += bytes(-len(data) % SIZE)
    form = f"{'<' if order is ByteOrder.LITTLE else '>'}{len(data) // SIZE}Q"
    texts = [f"{number:#x}" if number > 9 else str(number) for number in struct.unpack(form, data)] or ["0"]
    return "".join(f"{indent}{', '.join(line)},\n" for line in _lines(texts))


def constant(name: str, data: bytes, order: ByteOrder, tabs: int) -> str:
    """The definition of a constant that begins with these bytes; long runs of zeros take little text."""
    indent = "\t" * tabs
    parts = list(_parts(data + bytes(-len(data) % SIZE)))
    if len(parts) < 2:
        return f"{indent}static const __u64 {name}[] = {{\n{numbers(data, order, indent + chr(9))}{indent}}};\n"
    members = "".join(f"{indent}\t__u64 part{at}[{len(part) // SIZE}];\n" for at, part in enumerate(parts))
    lists = (numbers(part if any(part) else b"", order, f"{indent}\t\t") for part in parts)
    values = "".join(f"{indent}\t{{\n{lines}{indent}\t}},\n" for lines in lists)
    return f"{indent}static const struct {{\n{members}{indent}}} {name} = {{\n{values}{indent}}};\n"


def _parts(data: bytes) -> Iterable[bytes]:
    """`data` cut where long runs of zeros begin and end, at multiples of a number's size."""
    end = 0
    for run in _ZEROS.finditer(data):
        start, stop = -(-run.start() // SIZE) * SIZE, run.end() // SIZE * SIZE
        if start > end:
            yield data[end:start]
        yield data[start:stop]
        end = stop
    if end < len(data):
        yield data[end:]


def byte_list(data: bytes, indent: str) -> str:
    """Bytes as the lines of a list of small numbers."""
    texts = [str(byte) for byte in data]
    return "".join(f"{indent}{', '.join(texts[at : at + 16])},\n" for at in range(0, len(texts), 16))


def _lines(texts: list[str]) -> Iterable[list[str]]:
    return (texts[start : start + _NUMBERS_IN_LINE] for start in range(0, len(texts), _NUMBERS_IN_LINE))


def quoted(text: str | bytes) -> str:
    """A C string of the text's bytes; what is not plain ASCII becomes octal escapes."""
    data = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
    return '"' + "".join(_escaped(byte) for byte in data) + '"'


def commented(text: str) -> str:
    """What a comment may say of a text, whatever that has in it."""
    return quoted(text)[1:-1].replace("*", "\\052")


def _escaped(byte: int) -> str:
    char = chr(byte)
    # `?` because of trigraphs, quotes and backslashes because they end the string.
    return char if 0x20 <= byte < 0x7F and char not in '"\\?' else f"\\{byte:03o}"
