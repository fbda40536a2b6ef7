"""Objects small enough to see through, and a view on the bytes of one that lets a test damage it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bpfas.elf.constants import (
    SHDR_SIZE,
    SYM_SIZE,
    ByteOrder,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
)
from bpfas.elf.writer import write_object
from bpfas.objfile import ObjectFile, Relocation, Section, Symbol
from bpfas.reloc import RelocationNumber

CODE = SectionFlag.ALLOC | SectionFlag.EXECINSTR
DATA = SectionFlag.ALLOC | SectionFlag.WRITE

SECTION_FIELDS = ("name", "type", "flags", "addr", "offset", "size", "link", "info", "addralign", "entsize")


def sample(order: ByteOrder = ByteOrder.LITTLE) -> ObjectFile:
    """A program that loads the address of `counter`, and calls `helper` of another object."""
    # lddw r1, counter; call helper; exit: as words, which serve either byte order since registers are 0 or 1.
    code = b"".join(
        struct.pack(f"{order.value}BBhi", opcode, registers, 0, imm)
        for opcode, registers, imm in (
            (0x18, 0x01 if order is ByteOrder.LITTLE else 0x10, 0),
            (0, 0, 0),
            (0x85, 0x10 if order is ByteOrder.LITTLE else 0x01, -1),
            (0x95, 0, 0),
        )
    )
    text = Section("xdp", SectionType.PROGBITS, CODE, 8, 0, code)
    data = Section(".data", SectionType.PROGBITS, DATA, 4, 0, b"\1\0\0\0")
    bss = Section(".bss", SectionType.NOBITS, DATA, 8, nobits_size=24)
    prog = Symbol("prog", text, 0, len(code), SymbolBinding.GLOBAL, SymbolType.FUNC)
    counter = Symbol("counter", data, 0, 4, SymbolBinding.LOCAL, SymbolType.OBJECT)
    helper = Symbol("helper", st_bind=SymbolBinding.GLOBAL)
    text.relocations = [
        Relocation(0, RelocationNumber.R_BPF_64_64, counter),
        Relocation(16, RelocationNumber.R_BPF_64_32, helper),
    ]
    return ObjectFile("a.o", order, [text, data, bss], [prog, counter, helper])


@dataclass(slots=True)
class Image:
    """The bytes of an object and where its tables lie, to put wrong numbers into."""

    data: bytearray

    @classmethod
    def of(cls, obj: ObjectFile) -> Image:
        """The bytes of `obj`, which is little-endian."""
        return cls(bytearray(write_object(obj)))

    @property
    def section_count(self) -> int:
        """e_shnum."""
        count: int = struct.unpack_from("<H", self.data, 60)[0]
        return count

    def header_offset(self, index: int) -> int:
        """Where section header `index` begins."""
        start: int = struct.unpack_from("<Q", self.data, 40)[0]
        return start + index * SHDR_SIZE

    def header(self, index: int) -> dict[str, int]:
        """Section header `index` by the names of its fields, without `sh_`."""
        fields = struct.unpack_from("<IIQQQQIIQQ", self.data, self.header_offset(index))
        return dict(zip(SECTION_FIELDS, fields, strict=True))

    def index_of(self, sh_type: SectionType) -> int:
        """The first section of that type."""
        return next(i for i in range(self.section_count) if self.header(i)["type"] == sh_type)

    def set_header(self, index: int, **fields: int) -> Image:
        """Replace fields of section header `index`."""
        merged = self.header(index) | fields
        struct.pack_into("<IIQQQQIIQQ", self.data, self.header_offset(index), *merged.values())
        return self

    def set_symbol(self, number: int, layout: str, at: int, value: int) -> Image:
        """Replace the field at byte `at` of symbol `number`."""
        table = self.header(self.index_of(SectionType.SYMTAB))
        struct.pack_into(f"<{layout}", self.data, table["offset"] + number * SYM_SIZE + at, value)
        return self
