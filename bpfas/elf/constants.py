"""Numbers of the ELF specification (gABI, chapters 4 and 5) that BPF objects use, by their names there."""

from __future__ import annotations

import enum
from typing import Literal

EM_NONE = 0
EM_BPF = 247
ET_REL = 1

SHN_UNDEF = 0
SHN_LORESERVE = 0xFF00
SHN_ABS = 0xFFF1
SHN_COMMON = 0xFFF2
SHN_XINDEX = 0xFFFF

EHDR_SIZE = 64
SHDR_SIZE = 64
SYM_SIZE = 24
REL_SIZE = 16
RELA_SIZE = 24

MAX_ALIGNMENT = 1 << 20
"""The greatest sh_addralign that our tools write and read: a file is filled up to it."""


class SectionType(enum.IntEnum):
    """sh_type."""

    NULL = 0
    PROGBITS = 1
    SYMTAB = 2
    STRTAB = 3
    RELA = 4
    HASH = 5
    DYNAMIC = 6
    NOTE = 7
    NOBITS = 8
    REL = 9
    INIT_ARRAY = 14
    FINI_ARRAY = 15
    PREINIT_ARRAY = 16
    GROUP = 17
    SYMTAB_SHNDX = 18
    LLVM_ADDRSIG = 0x6FFF4C03


class SectionFlag(enum.IntFlag):
    """sh_flags."""

    WRITE = 0x1
    ALLOC = 0x2
    EXECINSTR = 0x4
    MERGE = 0x10
    STRINGS = 0x20
    INFO_LINK = 0x40
    LINK_ORDER = 0x80
    GROUP = 0x200
    TLS = 0x400
    GNU_RETAIN = 0x200000
    EXCLUDE = 0x80000000


SECTION_FLAG_LETTERS: dict[SectionFlag, str] = {
    SectionFlag.ALLOC: "a",
    SectionFlag.WRITE: "w",
    SectionFlag.EXECINSTR: "x",
    SectionFlag.MERGE: "M",
    SectionFlag.STRINGS: "S",
    SectionFlag.TLS: "T",
    SectionFlag.GNU_RETAIN: "R",
    SectionFlag.EXCLUDE: "e",
}
"""The letters of `.section name,"flags"` (GNU as manual, .section for ELF)."""

SECTION_TYPE_NAMES: dict[int, str] = {
    SectionType.PROGBITS: "progbits",
    SectionType.NOBITS: "nobits",
    SectionType.NOTE: "note",
    SectionType.INIT_ARRAY: "init_array",
    SectionType.FINI_ARRAY: "fini_array",
    SectionType.PREINIT_ARRAY: "preinit_array",
    SectionType.LLVM_ADDRSIG: "llvm_addrsig",
}
"""The names of `.section name,"flags",@type`."""


class SymbolBinding(enum.IntEnum):
    """st_bind: the high four bits of st_info."""

    LOCAL = 0
    GLOBAL = 1
    WEAK = 2


class SymbolType(enum.IntEnum):
    """st_type: the low four bits of st_info."""

    NOTYPE = 0
    OBJECT = 1
    FUNC = 2
    SECTION = 3
    FILE = 4
    COMMON = 5
    TLS = 6


class SymbolVisibility(enum.IntEnum):
    """The low two bits of st_other."""

    DEFAULT = 0
    INTERNAL = 1
    HIDDEN = 2
    PROTECTED = 3


class ByteOrder(enum.Enum):
    """EI_DATA; the value is the prefix that struct and numpy use."""

    LITTLE = "<"
    BIG = ">"

    @property
    def ei_data(self) -> int:
        """ELFDATA2LSB (1) or ELFDATA2MSB (2)."""
        return 1 if self is ByteOrder.LITTLE else 2

    @property
    def name_for_int(self) -> Literal["little", "big"]:
        """The word that int.from_bytes and int.to_bytes take."""
        return "little" if self is ByteOrder.LITTLE else "big"
