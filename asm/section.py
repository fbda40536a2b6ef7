"""The sections of an assembly while they grow, and what a section is that only its name describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.elf.constants import SECTION_FLAG_LETTERS, SECTION_TYPE_NAMES, SectionFlag, SectionType

if TYPE_CHECKING:
    from bpfas.asm.fixup import Fixup
    from bpfas.diag import Span


@dataclass(eq=False, slots=True)
class SectionBuilder:
    """A section's contents so far and the fields in them that wait for a symbol.

    `opened_at` is where the source has named it first; later mentions may not change its type and flags.
    """

    name: str
    sh_type: int
    sh_flags: int
    sh_entsize: int = 0
    sh_addralign: int = 1
    data: bytearray = field(default_factory=bytearray)
    nobits_size: int = 0
    fixups: list[Fixup] = field(default_factory=list)
    opened_at: Span | None = None

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.nobits_size if self.sh_type == SectionType.NOBITS else len(self.data)

    @property
    def is_code(self) -> bool:
        """Whether it holds instructions."""
        return bool(self.sh_flags & SectionFlag.EXECINSTR)


_F = SectionFlag
_DEFAULTS: tuple[tuple[str, SectionType, SectionFlag], ...] = (
    (".text", SectionType.PROGBITS, _F.ALLOC | _F.EXECINSTR),
    (".init", SectionType.PROGBITS, _F.ALLOC | _F.EXECINSTR),
    (".fini", SectionType.PROGBITS, _F.ALLOC | _F.EXECINSTR),
    (".data", SectionType.PROGBITS, _F.ALLOC | _F.WRITE),
    (".rodata", SectionType.PROGBITS, _F.ALLOC),
    (".bss", SectionType.NOBITS, _F.ALLOC | _F.WRITE),
    (".note", SectionType.NOTE, _F(0)),
)


def default_attributes(name: str) -> tuple[SectionType, SectionFlag]:
    """sh_type and sh_flags of a section whose source gives none: those of `.data`, `.data.*` and so on.

    Any other name is PROGBITS without flags, as in GNU as and LLVM.
    """
    for stem, sh_type, sh_flags in _DEFAULTS:
        if name == stem or name.startswith(f"{stem}."):
            return sh_type, sh_flags
    return SectionType.PROGBITS, SectionFlag(0)


FLAGS_BY_LETTER: dict[str, SectionFlag] = {
    **{letter: flag for flag, letter in SECTION_FLAG_LETTERS.items()},
    "E": SectionFlag.EXCLUDE,  # LLVM's letter
}
"""The letters of `.section name,"flags"`."""

TYPES_BY_NAME: dict[str, int] = {name: sh_type for sh_type, name in SECTION_TYPE_NAMES.items()}
"""The names of `.section name,"flags",@type`."""
