"""Debugging information of objects that functions were removed from, so that it is right for what is left.

Relocating brings addresses up to date, and lets those of removed functions lead nowhere. What remains are the
distances that compilers have written as numbers: line tables, lengths of ranges, lists of ranges and locations.
They are changed in copies of the input's sections, each in its place. Call frames are of one function each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.link.debug_contents import DebugContents, MalformedDebugInfo
from bpfas.link.debug_lines import adjust_lines
from bpfas.link.debug_lists import Ranges, adjust_aranges
from bpfas.link.debug_units import adjust_units
from bpfas.link.holes import Holes

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from bpfas.diag import Diagnostics
    from bpfas.link.gc import Removed
    from bpfas.objfile import ObjectFile, Section

_READ = frozenset(
    f".debug_{name}"
    for name in ("abbrev", "addr", "aranges", "info", "line", "loc", "loclists", "ranges", "rnglists")
)


def adjust_debug_info(
    removed: Sequence[Removed], discarded: Set[Section], diagnostics: Diagnostics
) -> dict[Section, Section]:
    """What is to be linked in place of debugging sections of objects that `removed` functions are of.

    Where it cannot be made out, that is a warning, and it stays as it is.
    """
    by_object: dict[ObjectFile, list[Removed]] = {}
    for item in removed:
        by_object.setdefault(item.obj, []).append(item)
    changed: dict[Section, Section] = {}
    for obj, items in by_object.items():
        try:
            changed.update(_adjust_object(obj, Holes(items), discarded))
        except MalformedDebugInfo as error:
            diagnostics.warning(
                f"the debugging information will be wrong about what is left of {items[0].section.name}: {error}",
                obj.name,
            )
    return changed


def _adjust_object(obj: ObjectFile, holes: Holes, discarded: Set[Section]) -> dict[Section, Section]:
    sections = {
        section.name: DebugContents(section, obj.byte_order)
        for section in obj.sections
        if section.name in _READ and section not in discarded
    }
    ranges = Ranges(holes)
    if ".debug_info" in sections:
        adjust_units(sections, ranges)
    if ".debug_aranges" in sections:
        adjust_aranges(sections[".debug_aranges"], ranges)
    if ".debug_line" in sections:
        adjust_lines(sections[".debug_line"], holes)
    ranges.finish()
    return {contents.section: contents.changed_section() for contents in sections.values() if contents.is_changed}
