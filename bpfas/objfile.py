"""The ELF relocatable file in memory: what the assembler gives, the linker joins and the loader takes.

Sections, symbols and relocations carry the standard's field names. References are the objects themselves, not
indices, so nothing has to be renumbered before `bpfas.elf.writer` lays a file out. Reading is
`bpfas.elf.reader`; the meaning of relocation types is `bpfas.reloc`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from bpfas.elf.constants import (
    ByteOrder,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
    SymbolVisibility,
)


class SpecialSection(enum.Enum):
    """What a symbol without a section of its own belongs to (reserved values of st_shndx)."""

    UNDEF = 0
    ABS = 0xFFF1
    COMMON = 0xFFF2


@dataclass(eq=False, slots=True)
class Group:
    """What a section of type SHT_GROUP says: a linker keeps or drops its members together.

    Of the groups whose `signature` has the same name, COMDAT ones are kept once.
    """

    signature: Symbol
    members: list[Section]
    is_comdat: bool = True


@dataclass(eq=False, slots=True)
class Section:
    """A section with its contents and the relocations that apply to them.

    `data` is empty for SHT_NOBITS, whose length is `nobits_size`. `sh_type` and `sh_flags` stay plain
    integers where a file holds numbers that the enumerations do not name.

    `link_order` is the section that one with SHF_LINK_ORDER goes with (sh_link). Contents that number sections or
    symbols stand in `group` (SHT_GROUP) and `listed_symbols` (SHT_LLVM_ADDRSIG), and a writer makes `data` from
    them. What sh_info is of other sections is theirs to say.
    """

    name: str
    sh_type: int = SectionType.PROGBITS
    sh_flags: int = 0
    sh_addralign: int = 1
    sh_entsize: int = 0
    data: bytes | bytearray = b""
    nobits_size: int = 0
    sh_info: int = 0
    link_order: Section | None = None
    group: Group | None = None
    listed_symbols: list[Symbol] | None = None
    relocations: list[Relocation] = field(default_factory=list)

    @property
    def sh_size(self) -> int:
        """Length in bytes."""
        return self.nobits_size if self.sh_type == SectionType.NOBITS else len(self.data)

    @property
    def is_code(self) -> bool:
        """Whether the section holds instructions."""
        return bool(self.sh_flags & SectionFlag.EXECINSTR) and self.sh_type == SectionType.PROGBITS

    def __repr__(self) -> str:
        return f"Section({self.name!r}, {self.sh_size} bytes)"


@dataclass(eq=False, slots=True)
class Symbol:
    """A symbol.

    `st_value` is the offset in bytes from the start of `section` (for ABS the value, for COMMON the alignment).
    A symbol that is only the signature of a group lies in the SHT_GROUP section.
    """

    name: str
    section: Section | SpecialSection = SpecialSection.UNDEF
    st_value: int = 0
    st_size: int = 0
    st_bind: SymbolBinding = SymbolBinding.LOCAL
    st_type: SymbolType = SymbolType.NOTYPE
    st_visibility: SymbolVisibility = SymbolVisibility.DEFAULT

    @property
    def is_defined(self) -> bool:
        """Whether this file gives the symbol a value (COMMON counts: it will be allocated)."""
        return self.section is not SpecialSection.UNDEF

    def __repr__(self) -> str:
        where = self.section.name
        return f"Symbol({self.name!r}, {where}+{self.st_value:#x}, {self.st_bind.name} {self.st_type.name})"


@dataclass(eq=False, slots=True)
class Relocation:
    """A relocation of the section that lists it. `r_offset` is in bytes from that section's start.

    `r_addend` is None for SHT_REL, where the addend stands in the field itself (BPF's usual form).
    """

    r_offset: int
    r_type: int
    symbol: Symbol
    r_addend: int | None = None


@dataclass(eq=False, slots=True)
class ObjectFile:
    """A relocatable object. `name` is what messages call it: its path, or `libx.a(member.o)`.

    `symbols` has no null entry; local symbols need not come first, the writer sees to that.
    """

    name: str
    byte_order: ByteOrder = ByteOrder.LITTLE
    sections: list[Section] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    e_flags: int = 0

    def section(self, name: str) -> Section | None:
        """The first section called `name`, or None."""
        return next((section for section in self.sections if section.name == name), None)

    def symbol(self, name: str) -> Symbol | None:
        """The first symbol called `name`, or None."""
        return next((symbol for symbol in self.symbols if symbol.name == name), None)


def place(obj: ObjectFile, section: Section, offset: int) -> str:
    """How messages name a place in an object: `a.o:(.text+0x18)`; the offset is in bytes."""
    return f"{obj.name}:({section.name}+{offset:#x})"
