"""The directives of a disassembly: sections, symbols and data, so that it assembles to what it was made from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.elf.constants import (
    SECTION_FLAG_LETTERS,
    SECTION_TYPE_NAMES,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
    SymbolVisibility,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.objfile import Section, Symbol

_SYMBOL_TYPES = {
    SymbolType.FUNC: "@function",
    SymbolType.OBJECT: "@object",
    SymbolType.TLS: "@tls_object",
    SymbolType.GNU_IFUNC: "@gnu_indirect_function",
}
_VISIBILITIES = {
    SymbolVisibility.HIDDEN: ".hidden",
    SymbolVisibility.INTERNAL: ".internal",
    SymbolVisibility.PROTECTED: ".protected",
}
_BINDINGS = {SymbolBinding.GLOBAL: ".globl", SymbolBinding.WEAK: ".weak"}

_BYTES_PER_LINE = 8
_SHORTEST_STRING = 4
_SHORTEST_ZEROS = 16
_RUN = re.compile(rb"(?P<zeros>\x00{%d,})|(?P<string>[\t\n\r -~]{%d,}\x00)" % (_SHORTEST_ZEROS, _SHORTEST_STRING))


def printable(text: str) -> str:
    """The text with what is not printable escaped, so that it disturbs neither a terminal nor a comment."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def quoted(text: str) -> str:
    """The text as a string literal; what is not printable ASCII as octal escapes of its bytes."""
    escapes = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x09: "\\t", 0x0D: "\\r"}
    data = text.encode("utf-8", "surrogateescape")
    return '"' + "".join(escapes.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\{b:03o}") for b in data) + '"'


def flag_letters(sh_flags: int) -> str:
    """The flags of a section as letters; those without one as a number in front."""
    rest = sh_flags & ~sum(SECTION_FLAG_LETTERS)
    letters = "".join(letter for flag, letter in SECTION_FLAG_LETTERS.items() if sh_flags & flag)
    return f"{rest:#x}{letters}" if rest else letters


@dataclass(frozen=True, slots=True)
class SectionContext:
    """What a section is besides itself, in a source's words.

    `linked_to` is a place in the section that it goes with, or 0; `group` the name of its group. `unique` tells it
    from sections of which all the rest is the same.
    """

    linked_to: str
    group: str | None
    is_comdat: bool
    unique: int | None


def section_directives(section: Section, context: SectionContext) -> Iterator[str]:
    """The line that makes the section the current one, and its alignment."""
    type_name = SECTION_TYPE_NAMES.get(section.sh_type)
    arguments = [f"@{type_name}" if type_name else f"{section.sh_type:#x}"]
    # A mergeable section without an entry size is none that a source can ask for, nor a group's without a group.
    is_mergeable = section.sh_flags & SectionFlag.MERGE and section.sh_entsize
    flags = section.sh_flags if is_mergeable else section.sh_flags & ~SectionFlag.MERGE
    may_have_size = section.sh_flags & SectionFlag.STRINGS or section.sh_type == SectionType.LLVM_CFI_JUMP_TABLE
    if is_mergeable or (may_have_size and section.sh_entsize):
        arguments.append(f"{section.sh_entsize}")
    if section.sh_flags & SectionFlag.LINK_ORDER:
        arguments.append(context.linked_to)
    if context.group is None:
        flags &= ~SectionFlag.GROUP
    else:
        arguments += [quoted(context.group), "comdat"] if context.is_comdat else [quoted(context.group)]
    if context.unique is not None:
        arguments += ["unique", f"{context.unique}"]
    name = section.name if re.fullmatch(r"[\w.$-][\w.$/-]*", section.name) else quoted(section.name)
    yield f'.section {name},"{flag_letters(flags)}",{",".join(arguments)}'
    if section.sh_addralign > 1:
        yield f".p2align {section.sh_addralign.bit_length() - 1}"


def symbol_directives(symbol: Symbol, name: str) -> Iterator[str]:
    """What is said of a symbol besides its place."""
    if symbol.st_bind in _BINDINGS:
        yield f"{_BINDINGS[symbol.st_bind]} {name}"
    if symbol.st_visibility in _VISIBILITIES:
        yield f"{_VISIBILITIES[symbol.st_visibility]} {name}"
    if symbol.st_type in _SYMBOL_TYPES:
        yield f".type {name}, {_SYMBOL_TYPES[symbol.st_type]}"
    if symbol.st_size:
        yield f".size {name}, {symbol.st_size}"


def data_directives(data: bytes) -> Iterator[tuple[int, str]]:
    """Directives for the bytes, each with its offset: strings and runs of zeros as such, the others by number."""
    done = 0
    for run in _RUN.finditer(data):
        yield from _numbers(data, done, run.start())
        if run["zeros"]:
            yield run.start(), f".zero {len(run[0])}"
        else:
            yield run.start(), f".asciz {quoted(run[0][:-1].decode('ascii'))}"
        done = run.end()
    yield from _numbers(data, done, len(data))


def _numbers(data: bytes, start: int, end: int) -> Iterator[tuple[int, str]]:
    for at in range(start, end, _BYTES_PER_LINE):
        yield at, ".byte " + ", ".join(f"{byte:#04x}" for byte in data[at : min(at + _BYTES_PER_LINE, end)])
