"""How the loader's messages name a place in an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SymbolType

if TYPE_CHECKING:
    from bpfas.objfile import Symbol


def target_text(symbol: Symbol, offset: int) -> str:
    """What a relocation refers to, `offset` bytes into the symbol's section: `counter`, `.data+0x8`."""
    if symbol.st_type is SymbolType.SECTION or not symbol.name:
        section = symbol.section.name
        return f"{section}+{offset:#x}" if offset else section
    distance = offset - symbol.st_value
    return f"{symbol.name}{distance:+#x}" if distance else symbol.name
