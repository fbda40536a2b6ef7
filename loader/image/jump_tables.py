"""Tables of computed jumps (`gotox`): the words of `.jumptables` as instructions of the function that jumps.

LLVM's words are offsets in bytes from the start of the code's section; a symbol of type OBJECT tells a table's
length. Source: libbpf 1.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.isa import SLOT_SIZE
from bpfas.objfile import place

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics
    from bpfas.loader.image.functions import Function
    from bpfas.objfile import Section, Symbol

_WORD = 8


def jump_targets(
    symbol: Symbol, section: Section, offset: int, function: Function, diagnostics: Diagnostics
) -> tuple[int, ...] | None:
    """Where the table at `offset` of `section` leads, in slots from the start of `function`, which loads it.

    None if there is no such table, which is reported.
    """
    size, at = symbol.st_size, place(function.obj, section, offset)
    name = symbol.name or section.name
    if offset != symbol.st_value or not size:
        note = "a table is a symbol of type @object with its size, at its first word"
        diagnostics.error(f"no table of jumps begins at '{section.name}{offset:+#x}'", at, (note,))
        return None
    if offset % _WORD or size % _WORD or offset + size > len(section.data):
        diagnostics.error(
            f"{name} reaches from {offset:#x} over {size:#x} bytes; a table of jumps is whole words of {_WORD} in "
            f"its section, which has {len(section.data):#x}",
            at,
        )
        return None
    order = function.obj.byte_order.name_for_int
    targets = []
    for word in range(offset, offset + size, _WORD):
        target = int.from_bytes(section.data[word : word + _WORD], order)
        if target % SLOT_SIZE or not function.start <= target < function.end:
            diagnostics.error(
                f"{name} leads to {target:#x} of section {function.section.name}, which is no instruction of "
                f"'{function.name}'",
                place(function.obj, section, word),
            )
            return None
        targets.append((target - function.start) // SLOT_SIZE)
    return tuple(targets)
