"""Addresses that data holds: relocations of 8 bytes each, and what of the object they lead to.

Definitions of maps and instances of struct_ops are data of this kind: their pointers are to maps and programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SymbolBinding, SymbolType
from bpfas.loader.image.places import target_text
from bpfas.objfile import Section
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, addend_of, relocation_name
from bpfas.section_names import is_subprogram_section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.objfile import ObjectFile, SpecialSection

POINTER_SIZE = 8

_ADDRESS = RELOCATION_TYPES[RelocationNumber.R_BPF_64_ABS64]
_ADDRESSES = (RelocationNumber.R_BPF_64_ABS64, RelocationNumber.R_BPF_64_64)
"""The relocations of data that are addresses; up to LLVM 12 it was the second one."""


class Address(NamedTuple):
    """The address at `at` of a section's data: of the byte at `offset` of `section`, which messages call `text`.

    `r_type` is the relocation's name; `is_whole` tells that it is one for 8 bytes of data.
    """

    at: int
    section: Section | SpecialSection
    offset: int
    text: str
    r_type: str
    is_whole: bool


def addresses(obj: ObjectFile, section: Section) -> Iterator[Address]:
    """All addresses in the data of `section`."""
    for relocation in section.relocations:
        at, symbol = relocation.r_offset, relocation.symbol
        if relocation.r_type == RelocationNumber.R_BPF_NONE:
            continue
        is_whole = relocation.r_type in _ADDRESSES and at + POINTER_SIZE <= len(section.data)
        addend = addend_of(_ADDRESS, relocation.r_addend, section.data, at, obj.byte_order) if is_whole else 0
        offset = symbol.st_value + addend
        name = relocation_name(relocation.r_type)
        yield Address(at, symbol.section, offset, target_text(symbol, offset), name, is_whole)


def program_at(obj: ObjectFile, section: Section | SpecialSection, offset: int) -> str | None:
    """The name of the program that begins there; None if none does."""
    if not isinstance(section, Section) or not section.is_code or is_subprogram_section(section.name):
        return None
    return next(
        (
            symbol.name
            for symbol in obj.symbols
            if symbol.section is section
            and symbol.st_value == offset
            and symbol.st_type is SymbolType.FUNC
            and symbol.st_bind is not SymbolBinding.LOCAL
        ),
        None,
    )
