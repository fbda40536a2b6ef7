"""Objects for the loader's tests, made directly."""

from __future__ import annotations

import struct

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.isa import BY_NAME, Instruction, encode
from bpfas.loader.image.build import build_image
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RelocationNumber

CODE = SectionFlag.ALLOC | SectionFlag.EXECINSTR
DATA = SectionFlag.ALLOC | SectionFlag.WRITE

LOAD = RelocationNumber.R_BPF_64_64
CALL = RelocationNumber.R_BPF_64_32


def insn(name: str, order: ByteOrder = ByteOrder.LITTLE, **operands: int) -> bytes:
    """An instruction of the table by its name there."""
    return encode(Instruction(BY_NAME[name], **operands), order)


EXIT = insn("exit")
PASS = insn("mov_imm", dst=0, imm=2) + EXIT
CALL_SYMBOL = insn("call_pseudo", imm=-1)
LDDW = insn("lddw", dst=1)
LDDW_MAP = insn("ld_pseudo", dst=1, src=1)


def code(name: str, *instructions: bytes) -> Section:
    return Section(name, SectionType.PROGBITS, CODE, 8, data=b"".join(instructions))


def data(name: str, contents: bytes) -> Section:
    return Section(name, SectionType.PROGBITS, DATA, 4, data=contents)


def bss(name: str, size: int) -> Section:
    return Section(name, SectionType.NOBITS, DATA, 8, nobits_size=size)


def words(*values: int, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    return struct.pack(f"{order.value}{len(values)}I", *values)


def function(name: str, section: Section, start: int = 0, size: int = 0, *, is_local: bool = False) -> Symbol:
    bind = SymbolBinding.LOCAL if is_local else SymbolBinding.GLOBAL
    return Symbol(name, section, start, size, bind, SymbolType.FUNC)


def label(name: str, section: Section, start: int = 0, *, is_local: bool = False) -> Symbol:
    bind = SymbolBinding.LOCAL if is_local else SymbolBinding.GLOBAL
    return Symbol(name, section, start, 0, bind)


def variable(name: str, section: Section, start: int = 0, size: int = 4) -> Symbol:
    return Symbol(name, section, start, size, SymbolBinding.GLOBAL, SymbolType.OBJECT)


def undefined(name: str) -> Symbol:
    return Symbol(name, SpecialSection.UNDEF, st_bind=SymbolBinding.GLOBAL)


def section_symbol(section: Section) -> Symbol:
    return Symbol("", section, st_type=SymbolType.SECTION)


def relocate(section: Section, offset: int, r_type: int, symbol: Symbol) -> None:
    section.relocations.append(Relocation(offset, r_type, symbol))


def obj(*parts: Section | Symbol, order: ByteOrder = ByteOrder.LITTLE, name: str = "app.o") -> ObjectFile:
    """An object of these sections and symbols."""
    sections = [part for part in parts if isinstance(part, Section)]
    symbols = [part for part in parts if isinstance(part, Symbol)]
    return ObjectFile(name, order, sections, symbols)


def image_errors(*parts: Section | Symbol) -> str:
    """What building an image of an object of these parts reports."""
    with pytest.raises(BpfasError) as caught:
        build_image(obj(*parts))
    return str(caught.value)
