"""Objects for the linker's tests, made directly; instructions are little-endian unless said otherwise."""

from __future__ import annotations

import struct

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RelocationNumber

CODE = SectionFlag.ALLOC | SectionFlag.EXECINSTR
DATA = SectionFlag.ALLOC | SectionFlag.WRITE

CALL = RelocationNumber.R_BPF_64_32
LOAD = RelocationNumber.R_BPF_64_64
ABS32 = RelocationNumber.R_BPF_64_ABS32
ABS64 = RelocationNumber.R_BPF_64_ABS64
JUMP16 = RelocationNumber.R_BPF_GNU_64_16

EXIT = bytes.fromhex("9500000000000000")


def call(imm: int = -1) -> bytes:
    """`call` with that imm, and src_reg 1: a function of the program."""
    return struct.pack("<BBhi", 0x85, 0x10, 0, imm)


def lddw(imm: int = 0) -> bytes:
    """The 64-bit load of r1 with that imm in its first slot."""
    return struct.pack("<BBhiBBhi", 0x18, 1, 0, imm, 0, 0, 0, 0)


def ja(off: int = -1) -> bytes:
    """`ja` with that 16-bit offset."""
    return struct.pack("<BBhi", 0x05, 0, off, 0)


def imm_at(section: Section, offset: int) -> int:
    """The imm of the instruction at `offset`."""
    imm: int = struct.unpack_from("<i", section.data, offset + 4)[0]
    return imm


def code(name: str = ".text", *instructions: bytes) -> Section:
    """A section of code; one `exit` if no instructions are given."""
    return Section(name, SectionType.PROGBITS, CODE, 8, 0, b"".join(instructions) or EXIT)


def data(name: str = ".data", contents: bytes = bytes(4), alignment: int = 4) -> Section:
    """A section of writable data."""
    return Section(name, SectionType.PROGBITS, DATA, alignment, 0, contents)


def license_section(text: bytes = b"GPL\0") -> Section:
    """A section `license`."""
    return data("license", text, 1)


def glob(name: str, section: Section | SpecialSection, value: int = 0, size: int = 0) -> Symbol:
    """A strong global symbol."""
    return Symbol(name, section, value, size, SymbolBinding.GLOBAL)


def weak(name: str, section: Section | SpecialSection, value: int = 0, size: int = 0) -> Symbol:
    """A weak symbol."""
    return Symbol(name, section, value, size, SymbolBinding.WEAK)


def extern(name: str) -> Symbol:
    """A strong reference to `name`."""
    return glob(name, SpecialSection.UNDEF)


def common(name: str, size: int, alignment: int) -> Symbol:
    """A common symbol."""
    return Symbol(name, SpecialSection.COMMON, alignment, size, SymbolBinding.GLOBAL, SymbolType.OBJECT)


def section_symbol(section: Section) -> Symbol:
    """The symbol that stands for `section`."""
    return Symbol("", section, st_type=SymbolType.SECTION)


def obj(name: str, *parts: Section | Symbol, order: ByteOrder = ByteOrder.LITTLE, e_flags: int = 0) -> ObjectFile:
    """An object of these sections and symbols, and of the symbols that the sections' relocations name."""
    sections = [part for part in parts if isinstance(part, Section)]
    symbols = [part for part in parts if isinstance(part, Symbol)]
    named = [reloc.symbol for section in sections for reloc in section.relocations]
    return ObjectFile(name, order, sections, list(dict.fromkeys([*symbols, *named])), e_flags)


def relocated(section: Section, *relocations: tuple[int, int, Symbol]) -> Section:
    """`section` with these relocations (offset, type, symbol)."""
    section.relocations = [Relocation(*relocation) for relocation in relocations]
    return section


def section_of(linked: ObjectFile, name: str) -> Section:
    """The section called `name`, which must be there once."""
    (found,) = [section for section in linked.sections if section.name == name]
    return found


def symbol_of(linked: ObjectFile, name: str) -> Symbol:
    """The symbol called `name`, which must be there once."""
    (found,) = [symbol for symbol in linked.symbols if symbol.name == name]
    return found


def link_errors(*objects: ObjectFile, options: LinkOptions | None = None) -> str:
    """What a link that must fail reports."""
    try:
        link(objects, options=options or LinkOptions())
    except BpfasError as error:
        return str(error)
    raise AssertionError("the link succeeded")
