"""Where the contents of the inputs come to lie: sections of one name joined into one, in input order.

An input section lies in the output in one piece, or in several where functions were removed from it
(`bpfas.link.gc`) or its strings and constants are those of others (`bpfas.link.merge`). What cannot be joined is
reported here. The contents are copied as they stand; adjusting what they say about places is
`bpfas.link.relocate`. Source: gABI chapter 4; what libbpf's linker does with `license`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import MAX_ALIGNMENT, SECTION_FLAG_LETTERS, SectionFlag, SectionType
from bpfas.isa import SLOT_SIZE
from bpfas.link.merge import EntryError, EntryTable, is_mergeable, split_entries
from bpfas.link.options import Strip
from bpfas.objfile import ObjectFile, Section
from bpfas.section_names import (
    BTF_EXT_SECTION,
    BTF_SECTION,
    LICENSE_SECTION,
    SUBPROGRAM_SECTION,
    VERSION_SECTION,
    is_subprogram_section,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from bpfas.diag import Diagnostics
    from bpfas.link.gc import Removed
    from bpfas.link.merge import Entries
    from bpfas.link.options import LinkOptions

BTF_SECTIONS = frozenset({BTF_SECTION, BTF_EXT_SECTION})
"""The sections that hold types; they speak of the whole object, so the output's are made anew."""

_KEPT_ONCE = frozenset({LICENSE_SECTION, VERSION_SECTION})
_DEBUGGING_PREFIXES = (
    ".debug",
    ".zdebug",
    ".gnu.debuglto_.debug_",
    ".gnu.linkonce.wi.",
    ".gdb_index",
    ".stab",
    ".line",
)
_LARGEST_SECTION = 1 << 62
_LARGEST_ZEROS = 1 << 28
"""How many bytes of NOBITS sections are written out as zeros, because others of their name have contents."""


class Piece(NamedTuple):
    """The bytes `start` (included) to `end` (excluded) of an input section and their offset in the output.

    `output` is None for bytes that the output goes without.
    """

    start: int
    end: int
    output: int | None


class Placement(NamedTuple):
    """Where the pieces of an input section lie in `section` of the output.

    The pieces begin at `starts` of the input, the first at 0, and end where the next begins, the last at `size`.
    `outputs` is where in the output each begins, or None for one that the output goes without.
    `is_copy`: the same bytes were already there, nothing was added.
    """

    section: Section
    starts: Sequence[int]
    outputs: Sequence[int | None]
    size: int
    is_copy: bool = False

    @property
    def pieces(self) -> list[Piece]:
        """The pieces, in the input's order."""
        return list(map(Piece, self.starts, [*self.starts[1:], self.size], self.outputs))

    @property
    def is_whole(self) -> bool:
        """Whether the section lies in the output in one piece."""
        return len(self.starts) == 1 and self.outputs[0] is not None

    def piece_at(self, offset: int) -> Piece:
        """The piece that holds what lies at `offset` of the input: the first or last one for what lies beyond."""
        index = max(0, bisect_right(self.starts, offset) - 1)
        end = self.starts[index + 1] if index + 1 < len(self.starts) else self.size
        return Piece(self.starts[index], end, self.outputs[index])

    def at(self, offset: int) -> int | None:
        """The output's offset of what lies at `offset` of the input; None if the output goes without it.

        The end of the section is where its last piece that was kept ends. The end of another piece is the start
        of the next one.
        """
        if self.is_whole:
            return (self.outputs[0] or 0) + offset
        if offset == self.size and self.outputs[-1] is None:
            kept = next((piece for piece in reversed(self.pieces) if piece.output is not None), None)
            return kept and kept.output + kept.end - kept.start  # type: ignore[operator]
        piece = self.piece_at(offset)
        return None if piece.output is None else piece.output + offset - piece.start

    def moved(self, base: int, addend: int) -> int | None:
        """What `addend`, which counts from the symbol at `base` of the input, is in the output.

        None if it leads to something that the output goes without. What it leads to in the symbol's own piece, or
        just behind that, stays as far from the symbol as it was.
        """
        if self.is_whole:
            return addend
        home = self.piece_at(base)
        if home.output is None:
            return None
        if home.start <= base + addend <= home.end:
            return addend
        target = self.at(base + addend)
        return None if target is None else target - (home.output + base - home.start)


class Layout:
    """The output's sections, and where in them each section of the inputs lies unless it was dropped.

    Some sections of the inputs lie there as others, which `replaced` gives: with other contents of the same size.
    """

    __slots__ = ("placements", "replaced", "sections")

    def __init__(self, replaced: Mapping[Section, Section]) -> None:
        self.sections: list[Section] = []
        self.placements: dict[Section, Placement] = {}
        self.replaced = replaced


def is_kept_once(section: Section) -> bool:
    """Whether the output holds one copy of the section, which must be the same in all objects."""
    return section.name in _KEPT_ONCE


def holds_subprograms(section: Section) -> bool:
    """Whether the section's functions are for others to call."""
    return section.is_code and is_subprogram_section(section.name)


def output_name(section: Section) -> str:
    """The name of the output section that the section of an input becomes a part of.

    Loaders look for functions that programs call in .text only.
    """
    return SUBPROGRAM_SECTION if holds_subprograms(section) else section.name


def is_debugging(section: Section) -> bool:
    """Whether only debuggers read the section."""
    return not section.sh_flags & SectionFlag.ALLOC and section.name.startswith(_DEBUGGING_PREFIXES)


def is_dropped(section: Section, strip: Strip) -> bool:
    """Whether the output is to do without the section."""
    if section.sh_type == SectionType.LLVM_ADDRSIG:
        return True  # lists symbols by their numbers in the input
    return section.name in BTF_SECTIONS or (strip >= Strip.DEBUG and is_debugging(section))


def lay_out(
    objects: Sequence[ObjectFile],
    options: LinkOptions,
    discarded: Set[Section],
    removed: Sequence[Removed],
    replaced: Mapping[Section, Section],
    diagnostics: Diagnostics,
) -> Layout:
    """Join the sections of `objects`; what can't be joined is an error, and gets a place all the same.

    A section begins at the next multiple of its alignment after what its name has gathered so far; the gap is
    filled with zeros. The output's alignment is the greatest of its parts. Sections that go with others
    (SHF_LINK_ORDER) are joined if what they go with is. The types are dropped: their maker adds them. For
    `replaced` see Layout.
    """
    layout = Layout(replaced)
    parts: dict[tuple[str, str | None], list[_Part]] = {}
    for obj in objects:
        for section in obj.sections:
            if section not in discarded and not is_dropped(section, options.strip):
                name = section.name if options.partial else output_name(section)
                key = name, section.link_order.name if section.link_order else None
                parts.setdefault(key, []).append(_Part(obj, section))
    holes: dict[Section, list[Removed]] = {}
    for item in removed:
        holes.setdefault(item.section, []).append(item)
    for (name, _), joined in parts.items():
        output = _begin(name, joined)
        layout.sections.append(output)
        _check(joined, output, diagnostics)
        if is_kept_once(output):
            layout.placements.update(_place_once(joined, output, diagnostics))
        else:
            layout.placements.update(_place(joined, output, holes, replaced, diagnostics))
        if output.sh_size > _LARGEST_SECTION:
            diagnostics.error(f"section {output.name} would have {output.sh_size} bytes")
    # From here on every section has its place, so those that go with others can name them.
    for output, joined in zip(layout.sections, parts.values(), strict=True):
        link_order = joined[0].section.link_order
        placement = layout.placements.get(link_order) if link_order else None
        output.link_order = placement.section if placement else None
    return layout


class _Part(NamedTuple):
    """One of the sections that are joined."""

    obj: ObjectFile
    section: Section

    @property
    def place(self) -> str:
        return f"{self.obj.name}:({self.section.name})"


def _begin(name: str, parts: Sequence[_Part]) -> Section:
    """The output section called `name` for `parts`, still without contents.

    It has contents, zeros if nothing else, where any part has.
    """
    first = parts[0].section
    types = {part.section.sh_type for part in parts}
    return Section(
        name,
        SectionType.PROGBITS if types == _WITH_OR_WITHOUT_CONTENTS else first.sh_type,
        first.sh_flags & ~SectionFlag.GROUP | _union(parts) & SectionFlag.GNU_RETAIN,
        max(part.section.sh_addralign for part in parts),
        first.sh_entsize,
        bytearray(),
        sh_info=first.sh_info,
    )


def _union(parts: Sequence[_Part]) -> int:
    flags = 0
    for part in parts:
        flags |= part.section.sh_flags
    return flags


def _check(parts: Sequence[_Part], output: Section, diagnostics: Diagnostics) -> None:
    """Errors for what is wrong with the sections, or with joining them."""
    first = parts[0]
    zeros = 0
    for part in parts:
        section = part.section
        if not section.name:
            diagnostics.error(
                f"a section of {section.sh_size} bytes has no name; is the file damaged?", part.obj.name
            )
        if section.is_code and section.sh_size % SLOT_SIZE:
            diagnostics.error(
                f"code of {section.sh_size} bytes is not a whole number of {SLOT_SIZE}-byte instructions",
                part.place,
            )
        align = section.sh_addralign
        if align & (align - 1) or not 0 <= align <= MAX_ALIGNMENT:
            diagnostics.error(f"alignment {align:#x} is no power of two up to {MAX_ALIGNMENT:#x}", part.place)
            output.sh_addralign = 1
        if _kind(section) != _kind(first.section):
            here, there = _in_words(section), _in_words(first.section)
            message = f"section {section.name} is {here} here, {there} in {first.obj.name}"
            diagnostics.error(message, part.place, ("give one of them another name",))
        zeros += section.nobits_size if section.sh_type == SectionType.NOBITS else 0
    if output.sh_type != SectionType.NOBITS and zeros > _LARGEST_ZEROS:
        contents = next(part for part in parts if part.section.sh_type != SectionType.NOBITS)
        diagnostics.error(
            f"section {output.name} would need {zeros} bytes of zeros in the file, more than {_LARGEST_ZEROS}, "
            f"because {contents.place} has contents (@progbits); make that @nobits, or give it another name"
        )
        diagnostics.raise_if_errors()


def _place_once(parts: Sequence[_Part], output: Section, diagnostics: Diagnostics) -> Mapping[Section, Placement]:
    """The places of sections that must be equal: all are the first one's."""
    first = parts[0]
    output.data = bytearray(first.section.data)
    for part in parts:
        if part.section.data != output.data:
            diagnostics.error(
                f"section {output.name} must be the same in all objects: {_text(part.section.data)} here, "
                f"{_text(output.data)} in {first.obj.name}",
                part.place,
                (f"give all files the same {output.name}",),
            )
    return {
        part.section: Placement(output, (0,), (0,), part.section.sh_size, is_copy=part is not first)
        for part in parts
    }


def _place(
    parts: Sequence[_Part],
    output: Section,
    holes: Mapping[Section, Sequence[Removed]],
    replaced: Mapping[Section, Section],
    diagnostics: Diagnostics,
) -> Mapping[Section, Placement]:
    """Add the contents of `parts` to `output`, one behind the other or merged."""
    assert isinstance(output.data, bytearray)  # _begin made it
    merged = EntryTable(output.data)
    alignment = max(1, output.sh_addralign)
    placements: dict[Section, Placement] = {}
    for part in parts:
        section, size = part.section, part.section.sh_size
        entries = _entries_of(part, alignment, diagnostics)
        if entries is not None:
            outputs = merged.add(entries, alignment)
            placements[section] = Placement(output, entries.starts() or (0,), outputs or (output.sh_size,), size)
            continue
        offset = output.sh_size + -output.sh_size % max(1, min(section.sh_addralign, output.sh_addralign))
        starts, places, end = _cut(size, holes.get(section, ()), offset)
        placements[section] = Placement(output, starts, places, size)
        if output.sh_type == SectionType.NOBITS:
            output.nobits_size = end
            continue
        output.data.extend(bytes(offset - len(output.data)))
        contents = replaced.get(section, section).data
        for piece in placements[section].pieces:
            if piece.output is not None:
                is_zeros = section.sh_type == SectionType.NOBITS
                output.data += bytes(size) if is_zeros else contents[piece.start : piece.end]
    return placements


def _entries_of(part: _Part, alignment: int, diagnostics: Diagnostics) -> Entries | None:
    """The entries of a section that has such."""
    if not is_mergeable(part.section):
        return None
    try:
        return split_entries(part.section, alignment)
    except EntryError as error:
        diagnostics.error(f"of a section to be merged (SHF_MERGE), {error}", part.place)
        return None


def _cut(size: int, holes: Sequence[Removed], offset: int) -> tuple[list[int], list[int | None], int]:
    """Where the pieces of a section of `size` bytes begin, in the input and in the output from `offset` on.

    Third comes where the last one ends.
    """
    starts: list[int] = []
    outputs: list[int | None] = []
    at = 0
    for hole in sorted(holes, key=lambda hole: hole.start):
        if hole.start > at:
            starts.append(at)
            outputs.append(offset)
            offset += hole.start - at
        starts.append(hole.start)
        outputs.append(None)
        at = hole.end
    if at < size or not starts:
        starts.append(at)
        outputs.append(offset)
        offset += size - at
    return starts, outputs, offset


_FLAGS_OF_ONE_SECTION = SectionFlag.GROUP | SectionFlag.GNU_RETAIN
"""Flags that need not be those of the sections to be joined with."""

_WITH_OR_WITHOUT_CONTENTS = {SectionType.PROGBITS, SectionType.NOBITS}


def _kind(section: Section) -> tuple[int, int, int]:
    """What sections to be joined must have in common: type (with contents or without), flags, size of entries."""
    sh_type = SectionType.PROGBITS if section.sh_type == SectionType.NOBITS else section.sh_type
    return sh_type, section.sh_flags & ~_FLAGS_OF_ONE_SECTION, section.sh_entsize


def _in_words(section: Section) -> str:
    """Type, flags and size of entries as `.section` has them."""
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
