"""Numbers of the ELF specification (gABI, chapters 4 and 5) that BPF objects use, by their names there."""

from __future__ import annotations

import enum
import sys
from typing import Literal

ELFOSABI_NONE = 0
ELFOSABI_GNU = 3

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
CHDR_SIZE = 24
WORD_SIZE = 4

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
    LLVM_ODRTAB = 0x6FFF4C00
    LLVM_LINKER_OPTIONS = 0x6FFF4C01
    LLVM_ADDRSIG = 0x6FFF4C03
    LLVM_DEPENDENT_LIBRARIES = 0x6FFF4C04
    LLVM_SYMPART = 0x6FFF4C05
    LLVM_CALL_GRAPH_PROFILE = 0x6FFF4C09
    LLVM_BB_ADDR_MAP = 0x6FFF4C0A
    LLVM_OFFLOADING = 0x6FFF4C0B
    LLVM_LTO = 0x6FFF4C0C
    LLVM_JT_SIZES = 0x6FFF4C0D
    LLVM_CFI_JUMP_TABLE = 0x6FFF4C0E
    LLVM_CALL_GRAPH = 0x6FFF4C0F


class SectionFlag(enum.IntEnum):
    """A flag of sh_flags. Several together are a plain number, which costs far less than an IntFlag."""

    WRITE = 0x1
    ALLOC = 0x2
    EXECINSTR = 0x4
    MERGE = 0x10
    STRINGS = 0x20
    INFO_LINK = 0x40
    LINK_ORDER = 0x80
    GROUP = 0x200
    TLS = 0x400
    COMPRESSED = 0x800
    GNU_RETAIN = 0x200000
    GNU_MBIND = 0x1000000
    EXCLUDE = 0x80000000


SECTION_FLAG_LETTERS: dict[SectionFlag, str] = {
    SectionFlag.ALLOC: "a",
    SectionFlag.WRITE: "w",
    SectionFlag.EXECINSTR: "x",
    SectionFlag.MERGE: "M",
    SectionFlag.STRINGS: "S",
    SectionFlag.LINK_ORDER: "o",
    SectionFlag.GROUP: "G",
    SectionFlag.TLS: "T",
    SectionFlag.GNU_RETAIN: "R",
    SectionFlag.GNU_MBIND: "d",
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
    **{sh_type: sh_type.name.lower() for sh_type in SectionType if sh_type.name.startswith("LLVM_")},
}
"""The names of `.section name,"flags",@type`."""


class CompressionType(enum.IntEnum):
    """ch_type of a section with SHF_COMPRESSED."""

    ZLIB = 1
    ZSTD = 2


GRP_COMDAT = 1
"""The flag of a section group of which a linker keeps one (the first word of its contents)."""


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
    GNU_IFUNC = 10


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


HOST_ORDER = ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG
"""That of the machine that this runs on."""
