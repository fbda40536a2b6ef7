"""Where the contents of the inputs come to lie: sections of one name joined into one, in input order.

What cannot be joined is reported here. The contents are copied as they stand; adjusting what they say about
places is `bpfas.link.relocate`. Source: gABI chapter 4; what libbpf's linker does with `license`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SECTION_FLAG_LETTERS, SectionFlag, SectionType
from bpfas.isa import SLOT_SIZE
from bpfas.objfile import ObjectFile, Section

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from bpfas.diag import Diagnostics

BTF_SECTIONS = frozenset({".BTF", ".BTF.ext"})
"""The sections that hold types; their contents speak of the whole object, so joining needs more than a copy."""

_KEPT_ONCE = frozenset({"license", "version"})


class Piece(NamedTuple):
    """The bytes `start` (included) to `end` (excluded) of an input section and their offset in the output.

    `output` is None for bytes that the output goes without.
    """

    start: int
    end: int
    output: int | None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the pieces of an input section lie in `section` of the output, in the input's order.

    `is_copy`: the same bytes were already there, nothing was added.
    """

    section: Section
    pieces: tuple[Piece, ...]
    is_copy: bool = False

    def at(self, offset: int) -> int | None:
        """The output's offset of what lies at `offset` of the input; None if the output goes without it.

        The end of the section is where its last piece that was kept ends.
        """
        index = max(0, bisect_right(self.pieces, offset, key=lambda piece: piece.start) - 1)
        piece = self.pieces[index]
        return None if piece.output is None else piece.output + offset - piece.start


@dataclass(slots=True)
class Layout:
    """The output's sections, and where in them each section of the inputs lies unless it was dropped."""

    sections: list[Section] = field(default_factory=list)
    placements: dict[Section, Placement] = field(default_factory=dict)


def is_kept_once(section: Section) -> bool:
    """Whether the output holds one copy of the section, which must be the same in all objects."""
    return section.name in _KEPT_ONCE


def is_dropped(section: Section) -> bool:
    """Whether the output is to do without the section, or has another in its place that is not made by copying."""
    # .llvm_addrsig lists symbols by their numbers in the input.
    return section.sh_type == SectionType.LLVM_ADDRSIG or section.name in BTF_SECTIONS


def lay_out(objects: Sequence[ObjectFile], discarded: Set[Section], diagnostics: Diagnostics) -> Layout:
    """Join the sections of `objects`; what can't be joined is an error, and gets a place all the same.

    A section begins at the next multiple of its alignment after what its name has gathered so far; the gap is
    filled with zeros. The output's alignment is the greatest of its parts. Sections that go with others
    (SHF_LINK_ORDER) are joined if what they go with is.
    """
    layout = Layout()
    joined: dict[tuple[str, str | None], tuple[ObjectFile, Section]] = {}
    linked: dict[Section, Section] = {}
    for obj in objects:
        for section in obj.sections:
            if section in discarded or is_dropped(section):
                continue
            _check_code(obj, section, diagnostics)
            key = section.name, section.link_order.name if section.link_order else None
            if key in joined:
                first_obj, output = joined[key]
                layout.placements[section] = _join(output, first_obj, section, obj, diagnostics)
            else:
                output = _copy_of(section)
                layout.sections.append(output)
                joined[key] = obj, output
                layout.placements[section] = _whole(section, output, 0)
                if section.link_order is not None:
                    linked[output] = section.link_order
    for output, link_order in linked.items():
        placement = layout.placements.get(link_order)
        output.link_order = placement.section if placement else None
    return layout


def _check_code(obj: ObjectFile, section: Section, diagnostics: Diagnostics) -> None:
    if section.is_code and section.sh_size % SLOT_SIZE:
        diagnostics.error(
            f"code of {section.sh_size} bytes is not a whole number of {SLOT_SIZE}-byte instructions",
            f"{obj.name}:({section.name})",
        )


def _copy_of(section: Section) -> Section:
    return Section(
        section.name,
        section.sh_type,
        section.sh_flags & ~SectionFlag.GROUP,
        section.sh_addralign,
        section.sh_entsize,
        bytearray(section.data),
        section.nobits_size,
        section.sh_info,
    )


def _join(
    output: Section, first_obj: ObjectFile, section: Section, obj: ObjectFile, diagnostics: Diagnostics
) -> Placement:
    """Add `section` to `output`, which the section of that name in `first_obj` began."""
    where = f"{obj.name}:({section.name})"
    if is_kept_once(section):
        if section.data != output.data:
            diagnostics.error(
                f"section {section.name} must be the same in all objects: {_text(section.data)} here, "
                f"{_text(output.data)} in {first_obj.name}",
                where,
            )
        return _whole(section, output, 0, is_copy=True)
    here, there = _kind(section), _kind(output)
    if here != there:
        diagnostics.error(f"section {section.name} is {here} here, {there} in {first_obj.name}", where)
    if (section.sh_flags | output.sh_flags) & SectionFlag.COMPRESSED:
        diagnostics.error("compressed sections cannot be joined; compile without -gz", where)
    offset = output.sh_size + -output.sh_size % max(1, section.sh_addralign)
    output.sh_addralign = max(output.sh_addralign, section.sh_addralign)
    output.sh_flags |= section.sh_flags & SectionFlag.GNU_RETAIN
    if output.sh_type == SectionType.NOBITS:
        output.nobits_size = offset + section.sh_size
    else:
        assert isinstance(output.data, bytearray)  # _copy_of made it
        output.data.extend(bytes(offset - len(output.data)))
        output.data.extend(section.data)
    return _whole(section, output, offset)


def _whole(section: Section, output: Section, offset: int, is_copy: bool = False) -> Placement:
    return Placement(output, (Piece(0, section.sh_size, offset),), is_copy)


_FLAGS_OF_ONE_SECTION = SectionFlag.GROUP | SectionFlag.GNU_RETAIN
"""Flags that need not be those of the sections to be joined with."""


def _kind(section: Section) -> str:
    """What sections to be joined must have in common, in words: type, flags, size of entries."""
    try:
        words = f"@{SectionType(section.sh_type).name.lower()}"
    except ValueError:
        words = f"of type {section.sh_type:#x}"
    letters = section.sh_flags & ~_FLAGS_OF_ONE_SECTION
    flags = "".join(letter for flag, letter in SECTION_FLAG_LETTERS.items() if letters & flag)
    other = section.sh_flags & ~sum(SECTION_FLAG_LETTERS)
    words = f'"{flags}"{f"+{other:#x}" if other else ""},{words}'
    return f"{words},{section.sh_entsize}" if section.sh_entsize else words


def _text(data: bytes | bytearray) -> str:
    """Contents of a license or version section for a message."""
    shown = bytes(data[:32]).rstrip(b"\0")
    return f'"{shown.decode()}"' if shown.isascii() and shown.decode().isprintable() else data[:32].hex(" ")
