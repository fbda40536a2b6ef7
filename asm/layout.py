"""Where everything lies in the end: the sizes of fragments, and jumps that do not reach, lengthened.

A jump whose target is too far for 16 bits becomes longer as GNU as does it for BPF: `ja` becomes `jal`; a
conditional jump becomes `jcc +1; ja +1; jal target`. That moves what is behind it, so sizes are settled again and
again until nothing changes. Jumps and LEB128 numbers never become shorter again, which is why that ends for them;
fills whose sizes depend on one another may have no solution, which is an error.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from bpfas.asm.expression import ExpressionError, resolve
from bpfas.asm.fixup import JUMP32, REACH16, Fixup
from bpfas.asm.fragment import FragmentError, only_zero
from bpfas.asm.section import GROWTH_OF_JUMP, LaidOutSection
from bpfas.isa import BY_NAME, SLOT_SIZE, Instruction, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.asm.fragment import Fragment
    from bpfas.asm.section import SectionBuilder, Subsection
    from bpfas.diag import Diagnostics
    from bpfas.elf.constants import ByteOrder

_MOST_STEPS = 1_000_000
"""Sizes that are asked for before what does not settle is given up: fills may go up and down for ever."""

_LEAST_ROUNDS = 100


def lay_out(
    sections: Iterable[SectionBuilder], order: ByteOrder, diagnostics: Diagnostics
) -> list[LaidOutSection]:
    """Settle all sizes, and give every section as it is then; what is wrong goes to `diagnostics`."""
    builders = list(sections)
    elastic = dict.fromkeys(section for section in builders if _is_elastic(section))
    for section in builders:
        if section in elastic or _has_jump_too_far(section):
            for subsection in section.subsections.values():
                subsection.take_groups_apart()
    while True:
        unsettled = _settle_all(list(elastic))
        lengthened = [] if unsettled else [section for section in builders if _lengthen_jumps(section)]
        if not lengthened:
            break
        elastic.update(dict.fromkeys(lengthened))
    if unsettled is not None:
        diagnostics.error(
            "this size and others depend on one another so that they do not settle",
            unsettled.statement.span_of(unsettled.node),
        )
    return [_finished(section, order, diagnostics) for section in builders]


def _is_elastic(section: SectionBuilder) -> bool:
    """Whether sizes may be other than they were read, even if no jump grows."""
    return len(section.subsections) > 1 or any(
        not fragment.is_settled_by_place
        for subsection in section.subsections.values()
        for fragment in subsection.fragments
    )


def _has_jump_too_far(section: SectionBuilder) -> bool:
    """Whether a jump does not reach, with everything where it was read."""
    return section.size > REACH16 * SLOT_SIZE and any(
        any(fixup.may_be_lengthened and _is_too_far(fixup, subsection) for fixup in subsection.fixups)
        or any(group.has_jump_too_far(subsection) for group in subsection.fixup_groups)
        for subsection in section.subsections.values()
    )


def _settle_all(sections: list[SectionBuilder]) -> Fragment | None:
    """Give fragments the sizes that they want until nothing changes; if that does not end, one that changes."""
    steps = sum(len(subsection.fragments) for section in sections for subsection in section.subsections.values())
    changing: list[Fragment] = []
    for _ in range(max(_LEAST_ROUNDS, _MOST_STEPS // max(1, steps))):
        changing, moved = [], False
        for section in sections:
            moved |= _settle(section, changing)
        if not changing and not moved:
            return None
    return changing[0] if changing else None


def _settle(section: SectionBuilder, changing: list[Fragment]) -> bool:
    """Give every fragment the size that it wants now; add those that change; whether a subsection moves."""
    moved = False
    base = 0
    for subsection in section.in_order:
        moved |= subsection.base != base
        subsection.base = base
        growth = subsection.growth = subsection.growth or [0] * (len(subsection.fragments) + 1)
        for index, fragment in enumerate(subsection.fragments):
            # What is wrong is reported with the contents, when all places are final.
            before = fragment.size
            with contextlib.suppress(ExpressionError, FragmentError):
                fragment.size = fragment.wanted_size(subsection.position(fragment.start, index))
            if fragment.size != before:
                changing.append(fragment)
            growth[index + 1] = growth[index] + fragment.size - fragment.read_size
        base += subsection.laid_out_size
    return moved


def _lengthen_jumps(section: SectionBuilder) -> bool:
    """Lengthen all jumps of a section that do not reach; whether there was any."""
    if section.size <= REACH16 * SLOT_SIZE:
        return False
    found = False
    for subsection in section.subsections.values():
        too_far = {
            index
            for index, fixup in enumerate(subsection.fixups)
            if fixup.may_be_lengthened and index not in subsection.long_jumps and _is_too_far(fixup, subsection)
        }
        if too_far:
            found = True
            subsection.long_jumps |= too_far
            subsection.grown_at = sorted(
                fixup.offset
                for fixup in (subsection.fixups[index] for index in subsection.long_jumps)
                if not _is_ja(fixup, subsection)
            )
    return found


def _is_ja(fixup: Fixup, subsection: Subsection) -> bool:
    return subsection.data[fixup.offset] == BY_NAME["ja"].code


def _is_too_far(fixup: Fixup, subsection: Subsection) -> bool:
    try:
        value = resolve(fixup.value)
    except ExpressionError:
        return False  # reported when the fixups are settled
    symbol = value.symbol
    if symbol is None or symbol.section is not subsection.section or symbol.binding in fixup.kind.interposable:
        return False
    target = symbol.position + value.constant
    distance = (target - subsection.position(fixup.offset, fixup.after)) // SLOT_SIZE - 1
    return not -REACH16 <= distance < REACH16


def _finished(section: SectionBuilder, order: ByteOrder, diagnostics: Diagnostics) -> LaidOutSection:
    first = section.subsections[0]
    if len(section.subsections) == 1 and not first.growth and not first.long_jumps:
        return LaidOutSection(section, first.data, first.nobits_size, first.fixups, first.fixup_groups)
    result = LaidOutSection(section, bytearray(), section.size if section.is_nobits else 0, [])
    for subsection in section.in_order:
        result.fixups += _final_fixups(subsection)
        data = _final_data(subsection, order, diagnostics)
        if not section.is_nobits:
            result.data += data
    return result


def _final_fixups(subsection: Subsection) -> list[Fixup]:
    fixups: list[Fixup] = []
    for index, fixup in enumerate(subsection.fixups):
        offset = subsection.position(fixup.offset, fixup.after)
        kind = fixup.kind
        if index in subsection.long_jumps:
            kind = JUMP32
            if not _is_ja(fixup, subsection):
                offset += GROWTH_OF_JUMP
        fixups.append(dataclasses.replace(fixup, kind=kind, offset=offset))
    return fixups


def _final_data(subsection: Subsection, order: ByteOrder, diagnostics: Diagnostics) -> bytearray:
    """The bytes with every fragment and every long jump in place of what was read."""
    replacements: list[tuple[int, int, bytes]] = []
    for index, fragment in enumerate(subsection.fragments):
        try:
            fragment.wanted_size(subsection.position(fragment.start, index))
            if subsection.section.is_nobits and not fragment.is_zero:
                raise FragmentError(only_zero(subsection.section))
            contents = b"" if subsection.section.is_nobits else fragment.contents()
        except (ExpressionError, FragmentError) as error:
            diagnostics.error(str(error), fragment.statement.span_of(fragment.node))
        else:
            replacements.append((fragment.start, fragment.read_size, contents))
    for index in subsection.long_jumps:
        at = subsection.fixups[index].offset
        replacements.append((at, SLOT_SIZE, _long_jump(subsection.data[at : at + SLOT_SIZE], order)))
    # A fragment without bytes so far comes before the jump that has the same offset.
    replacements.sort(key=lambda replacement: replacement[0])
    data = bytearray()
    done = 0
    for start, size, contents in replacements:
        data += subsection.data[done:start]
        data += contents
        done = start + size
    return data + subsection.data[done:]


def _long_jump(data: bytearray, order: ByteOrder) -> bytes:
    """The instructions that do what a jump with a 16-bit offset does, and reach further."""
    jal = encode(Instruction(BY_NAME["jal"]), order)
    if data[0] == BY_NAME["ja"].code:
        return jal
    over_the_next = (1).to_bytes(2, order.name_for_int)
    return (
        bytes(data[:2]) + over_the_next + bytes(data[4:]) + encode(Instruction(BY_NAME["ja"], off=1), order) + jal
    )
