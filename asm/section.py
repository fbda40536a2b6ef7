"""The sections of an assembly while they grow, and what a section is that only its name describes.

Offsets in a subsection are those of reading, when every jump is short. What may still change its size is a
fragment (`bpfas.asm.fragment`) or a jump; a place therefore says how many fragments are in front of it, and
`Subsection.position` gives where it lies in the section by the layout (`bpfas.asm.layout`).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SECTION_FLAG_LETTERS, SECTION_TYPE_NAMES, SectionFlag, SectionType

if TYPE_CHECKING:
    from bpfas.asm.fixup import Fixup
    from bpfas.asm.fixup_group import FixupGroup
    from bpfas.asm.fragment import Fragment
    from bpfas.asm.statement import Node, Statement
    from bpfas.asm.symbol import AssemblySymbol
    from bpfas.diag import Span


class SectionKey(NamedTuple):
    """What tells sections apart: sections of one name are different ones if anything else differs.

    `group` is the name of its group, `linked_to` what the source calls the section that it goes with.
    """

    name: str
    group: str | None = None
    linked_to: str | None = None
    unique: int | None = None


@dataclass(eq=False, slots=True)
class SectionGroup:
    """A group of sections by its signature; of COMDAT groups with one signature a linker keeps one."""

    signature: AssemblySymbol
    is_comdat: bool
    named_at: Span


class LinkOrder(NamedTuple):
    """What a section with SHF_LINK_ORDER goes with: the section that `symbol` lies in; no section without one."""

    symbol: AssemblySymbol
    statement: Statement
    node: Node


@dataclass(eq=False, slots=True)
class SectionBuilder:
    """A section by its attributes, and its contents as subsections by number, which lie in this order in it.

    `opened_at` is where the source has named it first; later mentions may not change its type and flags.
    `symbols_before` is how many symbols had been named by then.
    """

    name: str
    sh_type: int
    sh_flags: int
    sh_entsize: int = 0
    sh_addralign: int = 1
    sh_info: int = 0
    group: SectionGroup | None = None
    link_order: LinkOrder | None = None
    symbols_before: int = 0
    subsections: dict[int, Subsection] = field(default_factory=dict)
    opened_at: Span | None = None

    def __post_init__(self) -> None:
        self.subsection(0)

    def subsection(self, number: int) -> Subsection:
        """The subsection `number`, made if it is new."""
        found = self.subsections.get(number)
        if found is None:
            found = self.subsections[number] = Subsection(self, number)
        return found

    @property
    def in_order(self) -> list[Subsection]:
        """The subsections, ascending."""
        return [self.subsections[number] for number in sorted(self.subsections)]

    @property
    def size(self) -> int:
        """Bytes of all subsections."""
        return sum(subsection.laid_out_size for subsection in self.subsections.values())

    @property
    def is_code(self) -> bool:
        """Whether it holds instructions."""
        return bool(self.sh_flags & SectionFlag.EXECINSTR)

    @property
    def is_nobits(self) -> bool:
        """Whether it has a size and no contents."""
        return self.sh_type == SectionType.NOBITS


@dataclass(eq=False, slots=True)
class Subsection:
    """Contents as they were read, the fields in them that wait for a symbol, and where the layout puts them.

    `base` is where it begins in the section. `growth[n]` is by how much the first n fragments have grown together
    since reading, in bytes; `long_jumps` are the fixups, by their index, of jumps that are lengthened, and
    `grown_at` the offsets of those that have become longer by it, ascending.
    """

    section: SectionBuilder
    number: int
    data: bytearray = field(default_factory=bytearray)
    nobits_size: int = 0
    fixups: list[Fixup] = field(default_factory=list)
    fixup_groups: list[FixupGroup] = field(default_factory=list)
    fragments: list[Fragment] = field(default_factory=list)
    base: int = 0
    growth: list[int] = field(default_factory=list)
    long_jumps: set[int] = field(default_factory=set)
    grown_at: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes that have been read."""
        return self.nobits_size if self.section.is_nobits else len(self.data)

    @property
    def place(self) -> tuple[int, int]:
        """The place of the next byte: its offset, and how many fragments are in front of it."""
        return self.size, len(self.fragments)

    def position(self, offset: int, after: int) -> int:
        """Bytes from the section's start, by the layout so far, to a place behind `after` fragments."""
        position = self.base + offset
        if self.growth:
            position += self.growth[after]
        if self.grown_at:
            position += GROWTH_OF_JUMP * bisect_left(self.grown_at, offset)
        return position

    def take_groups_apart(self) -> None:
        """Have single fixups in place of groups."""
        if self.fixup_groups:
            self.fixups += [fixup for group in self.fixup_groups for fixup in group.fixups()]
            self.fixups.sort(key=lambda fixup: fixup.offset)
            self.fixup_groups = []

    @property
    def laid_out_size(self) -> int:
        """Bytes by the layout so far."""
        return self.position(*self.place) - self.base


GROWTH_OF_JUMP = 16
"""Bytes by which a conditional jump grows: `jcc +1; ja +1; jal target` instead of one instruction."""


@dataclass(eq=False, slots=True)
class LaidOutSection:
    """A section with its final contents, and its fixups with their final offsets in it.

    Groups of fixups are left in it only if all of it lies as it was read.
    """

    builder: SectionBuilder
    data: bytearray
    nobits_size: int
    fixups: list[Fixup]
    fixup_groups: list[FixupGroup] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.nobits_size if self.builder.is_nobits else len(self.data)


_F = SectionFlag
_WRITABLE = _F.ALLOC | _F.WRITE
_CODE = _F.ALLOC | _F.EXECINSTR
_DEFAULTS_OF_STEMS: tuple[tuple[str, SectionType, int], ...] = (
    (".text", SectionType.PROGBITS, _CODE),
    (".data", SectionType.PROGBITS, _WRITABLE),
    (".rodata", SectionType.PROGBITS, _F.ALLOC),
    (".bss", SectionType.NOBITS, _WRITABLE),
    (".tdata", SectionType.PROGBITS, _WRITABLE | _F.TLS),
    (".tbss", SectionType.NOBITS, _WRITABLE | _F.TLS),
    (".init_array", SectionType.INIT_ARRAY, _WRITABLE),
    (".fini_array", SectionType.FINI_ARRAY, _WRITABLE),
    (".preinit_array", SectionType.PREINIT_ARRAY, _WRITABLE),
)
_DEFAULTS_OF_NAMES: dict[str, tuple[SectionType, int]] = {
    ".init": (SectionType.PROGBITS, _CODE),
    ".fini": (SectionType.PROGBITS, _CODE),
    ".data1": (SectionType.PROGBITS, _WRITABLE),
    ".rodata1": (SectionType.PROGBITS, _F.ALLOC),
}


def default_attributes(name: str) -> tuple[SectionType, int]:
    """sh_type and sh_flags of a section whose source gives none: those of `.data`, `.data.*` and so on.

    Any other name is PROGBITS without flags, as in GNU as and LLVM.
    """
    if name in _DEFAULTS_OF_NAMES:
        return _DEFAULTS_OF_NAMES[name]
    for stem, sh_type, sh_flags in _DEFAULTS_OF_STEMS:
        if name == stem or name.startswith(f"{stem}."):
            return sh_type, sh_flags
    return (SectionType.NOTE if name.startswith(".note") else SectionType.PROGBITS), 0


FLAGS_BY_LETTER: dict[str, SectionFlag] = {
    **{letter: flag for flag, letter in SECTION_FLAG_LETTERS.items()},
    "E": SectionFlag.EXCLUDE,  # LLVM's letter
}
"""The letters of `.section name,"flags"`."""

TYPES_BY_NAME: dict[str, int] = {name: sh_type for sh_type, name in SECTION_TYPE_NAMES.items()}
"""The names of `.section name,"flags",@type`."""
