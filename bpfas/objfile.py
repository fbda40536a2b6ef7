"""The ELF relocatable file in memory: what the assembler gives, the linker joins and the loader takes.

Sections, symbols and relocations carry the standard's field names. References are the objects themselves, not
indices, so nothing has to be renumbered before `bpfas.elf.writer` lays a file out. Reading is
`bpfas.elf.reader`; the meaning of relocation types is `bpfas.reloc`.

Relocations come in two forms, of which a section has one at a time: a list of Relocation, and for those who work
on very many of them at once a RelocationTable, whose `columns()` are arrays of numpy. So does a linker: where
`section.relocation_table` is not None, take its columns, else go through `section.relocations`; and give an output
section `RelocationTable.of_columns(columns, symbols, order)`, where r_sym counts in any sequence of symbols.
"""

from __future__ import annotations

import enum
import struct
import sys
from array import array
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import (
    ByteOrder,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
    SymbolVisibility,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy
    from numpy.typing import NDArray

    Column = NDArray[numpy.int64]

NATIVE_ORDER = ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG
"""The byte order of the machine that this runs on."""


OWN_ONLY = frozenset({SymbolVisibility.HIDDEN, SymbolVisibility.INTERNAL})
"""The visibilities of global symbols that other objects do not see."""


class SpecialSection(enum.Enum):
    """What a symbol without a section of its own belongs to (reserved values of st_shndx)."""

    UNDEF = 0
    ABS = 0xFFF1
    COMMON = 0xFFF2


class Group:
    """What a section of type SHT_GROUP says: a linker keeps or drops its members together.

    Of the groups whose `signature` has the same name, COMDAT ones are kept once.
    """

    __slots__ = ("is_comdat", "members", "signature")

    def __init__(self, signature: Symbol, members: list[Section], is_comdat: bool = True) -> None:
        self.signature = signature
        self.members = members
        self.is_comdat = is_comdat


class Section:
    """A section with its contents and the relocations that apply to them.

    `data` is empty for SHT_NOBITS, whose length is `nobits_size`. `sh_type` and `sh_flags` stay plain
    integers where a file holds numbers that the enumerations do not name.

    `link_order` is the section that one with SHF_LINK_ORDER goes with (sh_link). Contents that number sections or
    symbols stand in `group` (SHT_GROUP) and `listed_symbols` (SHT_LLVM_ADDRSIG), and a writer makes `data` from
    them. What sh_info is of other sections is theirs to say.

    The relocations stand in `relocation_table` until somebody asks for `relocations`; from then on in that list.
    """

    __slots__ = (
        "_relocations",
        "data",
        "group",
        "link_order",
        "listed_symbols",
        "name",
        "nobits_size",
        "relocation_table",
        "sh_addralign",
        "sh_entsize",
        "sh_flags",
        "sh_info",
        "sh_type",
    )

    def __init__(
        self,
        name: str,
        sh_type: int = SectionType.PROGBITS,
        sh_flags: int = 0,
        sh_addralign: int = 1,
        sh_entsize: int = 0,
        data: bytes | bytearray = b"",
        nobits_size: int = 0,
        sh_info: int = 0,
        link_order: Section | None = None,
        group: Group | None = None,
        listed_symbols: list[Symbol] | None = None,
        relocation_table: RelocationTable | None = None,
    ) -> None:
        self.name = name
        self.sh_type = sh_type
        self.sh_flags = sh_flags
        self.sh_addralign = sh_addralign
        self.sh_entsize = sh_entsize
        self.data = data
        self.nobits_size = nobits_size
        self.sh_info = sh_info
        self.link_order = link_order
        self.group = group
        self.listed_symbols = listed_symbols
        self.relocation_table = relocation_table
        self._relocations: list[Relocation] = []

    @property
    def relocations(self) -> list[Relocation]:
        """The relocations; after this there is no `relocation_table` any more."""
        if self.relocation_table is not None:
            self._relocations, self.relocation_table = list(self.relocation_table), None
        return self._relocations

    @relocations.setter
    def relocations(self, relocations: list[Relocation]) -> None:
        self._relocations, self.relocation_table = relocations, None

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


class Symbol:
    """A symbol.

    `st_value` is the offset in bytes from the start of `section` (for ABS the value, for COMMON the alignment).
    A symbol that is only the signature of a group lies in the SHT_GROUP section.
    """

    __slots__ = ("name", "section", "st_bind", "st_size", "st_type", "st_value", "st_visibility")

    def __init__(
        self,
        name: str,
        section: Section | SpecialSection = SpecialSection.UNDEF,
        st_value: int = 0,
        st_size: int = 0,
        st_bind: SymbolBinding = SymbolBinding.LOCAL,
        st_type: SymbolType = SymbolType.NOTYPE,
        st_visibility: SymbolVisibility = SymbolVisibility.DEFAULT,
    ) -> None:
        self.name = name
        self.section = section
        self.st_value = st_value
        self.st_size = st_size
        self.st_bind = st_bind
        self.st_type = st_type
        self.st_visibility = st_visibility

    @property
    def is_defined(self) -> bool:
        """Whether this file gives the symbol a value (COMMON counts: it will be allocated)."""
        return self.section is not SpecialSection.UNDEF

    def __repr__(self) -> str:
        where = self.section.name
        return f"Symbol({self.name!r}, {where}+{self.st_value:#x}, {self.st_bind.name} {self.st_type.name})"


class Relocation:
    """A relocation of the section that lists it. `r_offset` is in bytes from that section's start.

    `r_addend` is None for SHT_REL, where the addend stands in the field itself (BPF's usual form).
    """

    __slots__ = ("r_addend", "r_offset", "r_type", "symbol")

    def __init__(self, r_offset: int, r_type: int, symbol: Symbol, r_addend: int | None = None) -> None:
        self.r_offset = r_offset
        self.r_type = r_type
        self.symbol = symbol
        self.r_addend = r_addend


class RelocationTable:
    """The relocations of a section as a file holds them, for work on very many at a time.

    `entries` are Elf64_Rel, or with `has_addends` Elf64_Rela, in the byte order `order`. `symbols[r_sym]` is the
    symbol of each; that it is one, and that every field lies in its section, is for the table's maker to see to.
    Debugging information has tens of thousands of relocations, and few programs look at any of them: so a
    Relocation for each is made only where somebody iterates.
    """

    __slots__ = ("entries", "has_addends", "order", "symbols")

    def __init__(
        self,
        entries: bytes | memoryview,
        symbols: Sequence[Symbol | None],
        order: ByteOrder,
        has_addends: bool = False,
    ) -> None:
        self.entries = entries
        self.symbols = symbols
        self.order = order
        self.has_addends = has_addends

    @property
    def words_each(self) -> int:
        """64-bit words of an entry: r_offset, r_info (r_sym above r_type), and r_addend if it has one."""
        return 3 if self.has_addends else 2

    def words(self) -> array[int]:
        """All entries as 64-bit words, in this machine's byte order."""
        words = array("Q")
        words.frombytes(self.entries)
        if self.order is not NATIVE_ORDER:
            words.byteswap()
        return words

    @classmethod
    def of_columns(
        cls, columns: RelocationColumns, symbols: Sequence[Symbol | None], order: ByteOrder
    ) -> RelocationTable:
        """The table of these columns, which `columns` gives back."""
        import numpy

        has_addends = columns.r_addend is not None
        rows = numpy.empty(len(columns.r_offset), _numpy_layout(order, has_addends))
        rows["r_offset"], rows["r_type"], rows["r_sym"] = columns.r_offset, columns.r_type, columns.r_sym
        if has_addends:
            rows["r_addend"] = columns.r_addend
        return cls(rows.tobytes(), symbols, order, has_addends)

    def columns(self) -> RelocationColumns:
        """The fields of all entries, as arrays. Imports numpy, which pays from some 20,000 entries on."""
        import numpy

        rows = numpy.frombuffer(self.entries, _numpy_layout(self.order, self.has_addends))
        addends = rows["r_addend"].astype(numpy.int64) if self.has_addends else None
        return RelocationColumns(
            rows["r_offset"].astype(numpy.int64),
            rows["r_type"].astype(numpy.int64),
            rows["r_sym"].astype(numpy.int64),
            addends,
        )

    def __len__(self) -> int:
        return len(self.entries) // (8 * self.words_each)

    def __iter__(self) -> Iterator[Relocation]:
        symbols = self.symbols
        layout = f"{self.order.value}{'QQq' if self.has_addends else 'QQ'}"
        for r_offset, r_info, *addend in struct.iter_unpack(layout, self.entries):
            symbol = symbols[r_info >> 32]
            assert symbol is not None  # whoever made the table has seen to that
            yield Relocation(r_offset, r_info & 0xFFFFFFFF, symbol, *addend)


class RelocationColumns(NamedTuple):
    """The fields of the relocations of a table, each an array of int64; no addends (None) for SHT_REL."""

    r_offset: Column
    r_type: Column
    r_sym: Column
    r_addend: Column | None = None


def _numpy_layout(order: ByteOrder, has_addends: bool) -> list[tuple[str, str]]:
    """Elf64_Rel or Elf64_Rela as a dtype; r_info's high half is the symbol, its low half the type."""
    halves = ("r_type", "r_sym") if order is ByteOrder.LITTLE else ("r_sym", "r_type")
    layout = [("r_offset", "u8"), *((half, "u4") for half in halves)]
    if has_addends:
        layout.append(("r_addend", "i8"))
    return [(name, order.value + kind) for name, kind in layout]


class ObjectFile:
    """A relocatable object. `name` is what messages call it: its path, or `libx.a(member.o)`.

    `symbols` has no null entry; local symbols need not come first, the writer sees to that.
    `has_own_section_names` tells of a file that was read whether its sections' names stand in a string table of
    their own, as GNU's tools write it: that helps to tell who made it.
    """

    __slots__ = ("byte_order", "e_flags", "has_own_section_names", "name", "sections", "symbols")

    def __init__(
        self,
        name: str,
        byte_order: ByteOrder = ByteOrder.LITTLE,
        sections: list[Section] | None = None,
        symbols: list[Symbol] | None = None,
        e_flags: int = 0,
        has_own_section_names: bool = False,
    ) -> None:
        self.name = name
        self.byte_order = byte_order
        self.sections = [] if sections is None else sections
        self.symbols = [] if symbols is None else symbols
        self.e_flags = e_flags
        self.has_own_section_names = has_own_section_names

    def section(self, name: str) -> Section | None:
        """The first section called `name`, or None."""
        return next((section for section in self.sections if section.name == name), None)

    def symbol(self, name: str) -> Symbol | None:
        """The first symbol called `name`, or None."""
        return next((symbol for symbol in self.symbols if symbol.name == name), None)


def place(obj: ObjectFile, section: Section, offset: int) -> str:
    """How messages name a place in an object: `a.o:(.text+0x18)`; the offset is in bytes."""
    return f"{obj.name}:({section.name}+{offset:#x})"
