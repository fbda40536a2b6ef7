"""The sections of an assembly while they grow, and what a section is that only its name describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionFlag, SectionType

if TYPE_CHECKING:
    from bpfas.asm.fixup import Fixup
    from bpfas.diag import Span


@dataclass(eq=False, slots=True)
class SectionBuilder:
    """A section's contents so far and the fields in them that wait for a symbol.

    `explicit` says whether the source has given it a type or flags, which later mentions may not change.
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


FLAG_LETTERS: dict[str, SectionFlag] = {
    "a": _F.ALLOC,
    "w": _F.WRITE,
    "x": _F.EXECINSTR,
    "M": _F.MERGE,
    "S": _F.STRINGS,
    "T": _F.TLS,
    "e": _F.EXCLUDE,
    "E": _F.EXCLUDE,
    "R": _F.GNU_RETAIN,
}
"""The letters of `.section name,"flags"` (GNU as manual, .section for ELF)."""

TYPE_NAMES: dict[str, SectionType] = {
    "progbits": SectionType.PROGBITS,
    "nobits": SectionType.NOBITS,
    "note": SectionType.NOTE,
    "init_array": SectionType.INIT_ARRAY,
    "fini_array": SectionType.FINI_ARRAY,
    "preinit_array": SectionType.PREINIT_ARRAY,
    "llvm_addrsig": SectionType.LLVM_ADDRSIG,
}
"""The names of `.section name,"flags",@type`."""
