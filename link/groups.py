"""Which sections a link leaves out because another object has them too: section groups (gABI, Section Groups).

Of the COMDAT groups of one signature the first is kept. The groups themselves end here, for the output is what the
loader takes: what is kept of them are sections like others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.elf.constants import SectionType, SymbolBinding, SymbolType
from bpfas.objfile import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.diag import Diagnostics
    from bpfas.objfile import Group, ObjectFile


def discarded_sections(objects: Sequence[ObjectFile]) -> frozenset[Section]:
    """The groups, the members of those that an earlier object has, and what goes with a section left out."""
    discarded: set[Section] = set()
    signatures: set[str] = set()
    for obj in objects:
        for section in obj.sections:
            if section.sh_type == SectionType.GROUP:
                discarded.add(section)
            if section.group is not None and section.group.is_comdat:
                signature = _signature(section.group)
                if signature in signatures:
                    discarded.update(section.group.members)
                signatures.add(signature)
    followers: dict[Section, list[Section]] = {}
    for obj in objects:
        for section in obj.sections:
            if section.link_order is not None:
                followers.setdefault(section.link_order, []).append(section)
    waiting = list(discarded)
    while waiting:
        for follower in followers.get(waiting.pop(), ()):
            if follower not in discarded:
                discarded.add(follower)
                waiting.append(follower)
    return frozenset(discarded)


def warn_of_ended_groups(objects: Sequence[ObjectFile], diagnostics: Diagnostics) -> None:
    """A warning for each object whose COMDAT groups a partial link ends, for the next link might need them."""
    for obj in objects:
        strong = {symbol.section for symbol in obj.symbols if symbol.st_bind is SymbolBinding.GLOBAL}
        names = [
            _signature(section.group)
            for section in obj.sections
            if section.group and section.group.is_comdat and not strong.isdisjoint(section.group.members)
        ]
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            diagnostics.warning(
                f"section group {names[0]}{others} ends with this link: for the next one its symbols are "
                "definitions like others",
                obj.name,
                ("link all objects that have the group at once, or make its symbols weak",),
            )


def _signature(group: Group) -> str:
    """The name of a group; a section's symbol goes by the section's name."""
    symbol = group.signature
    is_section = symbol.st_type is SymbolType.SECTION and isinstance(symbol.section, Section)
    return symbol.section.name if is_section else symbol.name
