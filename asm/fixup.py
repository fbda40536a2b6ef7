"""Fields whose value was not known when their statement was read: filled in at the end, or made relocations.

One table says for each kind of field where it lies, how far it reaches and which relocation stands for it; the
choice between filling in and relocating follows GNU as and LLVM (a symbol that another object may define or
replace is relocated). Facts: the relocation table in bpfas.reloc.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bpfas.asm.expression import Bound, ExpressionError, Value, resolve
from bpfas.asm.symbol import AssemblySymbol, display_name
from bpfas.elf.constants import ByteOrder, SectionFlag, SymbolBinding
from bpfas.reloc import (
    RELOCATION_TYPES,
    Field,
    RelocationNumber,
    RelocationRangeError,
    RelocationType,
    field_value,
    write_field,
)

if TYPE_CHECKING:
    from bpfas.asm.section import LaidOutSection, SectionBuilder
    from bpfas.asm.statement import Node
    from bpfas.diag import Diagnostics, Span

_N = RelocationNumber


@dataclass(frozen=True, eq=False, slots=True)
class FixupKind:
    """A kind of field that waits, and how it is filled.

    `value_field` is where a plain number goes. `row` is the relocation that can stand for the field, if any, and
    `relocation_offset` what its r_offset is more than the offset of the instruction or datum. A field that
    `is_near` is filled in when its target lies in the same section, unless the target's binding is one of
    `interposable`, which lets another object replace it.
    """

    what: str
    value_field: Field | None
    row: RelocationType | None
    relocation_offset: int = 0
    is_near: bool = False
    interposable: tuple[SymbolBinding, ...] = (SymbolBinding.WEAK,)


_JUMP_ROW = RELOCATION_TYPES[_N.R_BPF_64_32]
_GLOBAL_OR_WEAK = (SymbolBinding.GLOBAL, SymbolBinding.WEAK)

JUMP16 = FixupKind("jump", Field.OFF16, RELOCATION_TYPES[_N.R_BPF_GNU_64_16], is_near=True)
JUMP32 = FixupKind("jump", Field.IMM32, _JUMP_ROW, is_near=True)
CALL = FixupKind("call", Field.IMM32, _JUMP_ROW, is_near=True, interposable=_GLOBAL_OR_WEAK)
LOAD64 = FixupKind("64-bit immediate", Field.IMM64, RELOCATION_TYPES[_N.R_BPF_64_64])
MAP = FixupKind("map", None, RELOCATION_TYPES[_N.R_BPF_64_64])
IMM32 = FixupKind("immediate", Field.IMM32, RELOCATION_TYPES[_N.R_BPF_64_ABS32], relocation_offset=4)
OFF16 = FixupKind("offset", Field.OFF16, RELOCATION_TYPES[_N.R_BPF_GNU_64_16])
DATA64 = FixupKind("value", Field.DATA64, RELOCATION_TYPES[_N.R_BPF_64_ABS64])
DATA32 = FixupKind("value", Field.DATA32, RELOCATION_TYPES[_N.R_BPF_64_ABS32])
DATA16 = FixupKind("value", Field.DATA16, None)
REACH16 = 1 << 15
"""Instructions that a jump with 16 bits reaches, counted from the next one: -32768 to 32767."""

DATA8 = FixupKind("value", Field.DATA8, None)


class Origin(Protocol):
    """What can say where in the source a node of its statement stands."""

    def span_of(self, node: Node | None) -> Span:
        """The place of `node`, or of the whole statement."""
        ...


@dataclass(eq=False, slots=True)
class Fixup:
    """A field that will hold `value`, at `offset` of what was read of a subsection, behind `after` fragments.

    The offset, in bytes, is that of the instruction or datum. `may_be_lengthened` marks jumps that the layout may
    give more bits. What the assembler adds of its own accord, such as a line table, has no origin. Not frozen, for
    there are very many and a frozen one takes three times as long to make.
    """

    kind: FixupKind
    offset: int
    value: Bound
    origin: Origin | None
    node: Node | None
    after: int = 0
    may_be_lengthened: bool = False


class PendingRelocation(NamedTuple):
    """A relocation against a symbol by name, or against a section with the offset already in the field."""

    r_offset: int
    r_type: RelocationNumber
    target: AssemblySymbol | SectionBuilder


class FixupError(ValueError):
    """A fixup that can be neither filled in nor relocated, with the reason."""


def settle_fixups(section: LaidOutSection, order: ByteOrder, diagnostics: Diagnostics) -> list[PendingRelocation]:
    """Fill in the section's fixups; give the relocations for those that only a linker or loader can.

    Errors go to `diagnostics`, each with the place of its operand, or of the field where it has no origin.
    """
    relocations: list[PendingRelocation] = []
    fixups = section.fixups
    if section.fixup_groups:
        subsection = section.builder.subsection(0)
        fixups = [
            *fixups,
            *(fixup for group in section.fixup_groups for fixup in group.fill_near(subsection, order)),
        ]
        fixups.sort(key=lambda fixup: fixup.offset)
    for fixup in fixups:
        try:
            relocation = _settle(fixup, section, order)
        except (ExpressionError, FixupError, RelocationRangeError) as error:
            place = f"({section.builder.name}+{fixup.offset:#x})"
            diagnostics.error(str(error), place if fixup.origin is None else fixup.origin.span_of(fixup.node))
        else:
            if relocation is not None:
                relocations.append(relocation)
    return relocations


def _settle(fixup: Fixup, section: LaidOutSection, order: ByteOrder) -> PendingRelocation | None:
    value, kind = resolve(fixup.value), fixup.kind
    symbol = value.symbol
    if symbol is None:
        _fill_number(fixup, section, value.constant, order)
        return None
    if symbol.section is section.builder and kind.is_near and symbol.binding not in kind.interposable:
        assert kind.row is not None
        number = _distance(kind, kind.row, symbol.position + value.constant, fixup.offset)
        write_field(kind.row.field, section.data, fixup.offset, number, order)
        return None
    if not symbol.is_defined:
        if symbol.is_temporary:
            raise FixupError(f"label `{display_name(symbol)}` is not defined")
        if kind is CALL and not symbol.is_declared:
            from bpfas.helpers import HELPERS  # a long table, and most calls are by number

            if helper := HELPERS.get(symbol.name):
                if value.constant:
                    raise FixupError(f"`{symbol.name}` is a kernel helper, which has no address to add to")
                _call_by_number(section, fixup.offset, helper.number, order)
                return None
    return _relocate(fixup, section, symbol, value, order)


def _distance(kind: FixupKind, row: RelocationType, target: int, place: int) -> int:
    try:
        return field_value(row, target, place)
    except RelocationRangeError as error:
        bytes_away = target - place - 8
        if bytes_away % 8:
            raise FixupError(
                f"the {kind.what} target is {bytes_away} bytes from the next instruction, "
                "which is not a whole number of 8-byte instructions"
            ) from error
        low, high = row.bounds
        advice = "; `gotol` (`jal`) reaches further" if kind is JUMP16 else ""
        raise FixupError(
            f"the {kind.what} target is {bytes_away // 8} instructions away, "
            f"out of the range {low} to {high}{advice}"
        ) from error


def _fill_number(fixup: Fixup, section: LaidOutSection, number: int, order: ByteOrder) -> None:
    field = fixup.kind.value_field
    if field is None:
        raise FixupError("a map is named by a symbol, not by a number")
    if fixup.kind is CALL:
        _call_by_number(section, fixup.offset, number, order)
        return
    if fixup.kind.is_near and fixup.kind.row is not None:
        low, high = fixup.kind.row.bounds
        if not low <= number <= high:
            raise FixupError(f"{fixup.kind.what} offset {number} is out of range {low} to {high}")
    check_number(number, field.width)
    write_field(field, section.data, fixup.offset, number, order)


def check_number(number: int, bits: int) -> None:
    """Raise FixupError unless `number`, signed or unsigned, fits in `bits`."""
    low, high = -(1 << bits - 1), (1 << bits) - 1
    if not low <= number <= high:
        raise FixupError(f"{number} does not fit in {bits} bits ({low} to {high})")


def _call_by_number(section: LaidOutSection, offset: int, number: int, order: ByteOrder) -> None:
    check_number(number, 32)
    section.data[offset + 1] = 0  # not a call of a function of the program
    write_field(Field.IMM32, section.data, offset, number, order)


def _relocate(
    fixup: Fixup, section: LaidOutSection, symbol: AssemblySymbol, value: Value, order: ByteOrder
) -> PendingRelocation:
    kind = fixup.kind
    if kind.row is None:
        raise FixupError(
            f"no BPF relocation can put the address of `{display_name(symbol)}` here; use .long or .quad"
        )
    by_name = symbol.is_shown_by_name or symbol.common_alignment is not None or kind is MAP
    addend = value.constant if by_name else symbol.position + value.constant
    if kind is OFF16 and symbol.is_defined:
        raise FixupError(f"`{display_name(symbol)}` is an address, not an offset")
    _write_addend(fixup, kind.row, section, addend, order)
    number = kind.row.number
    if kind is DATA32 and _is_kept_from_the_loader(symbol):
        number = RelocationNumber.R_BPF_64_NODYLD32
    target: AssemblySymbol | SectionBuilder = symbol
    if not by_name:
        assert symbol.section is not None
        target = symbol.section
    return PendingRelocation(fixup.offset + kind.relocation_offset, number, target)


def _write_addend(
    fixup: Fixup, row: RelocationType, section: LaidOutSection, addend: int, order: ByteOrder
) -> None:
    if fixup.kind.is_near:
        if addend % 8:
            raise FixupError(f"{addend} bytes from the symbol is not a whole number of 8-byte instructions")
        write_field(row.field, section.data, fixup.offset, _distance(fixup.kind, row, addend, 0), order)
        return
    ((_, width),) = row.addend_field.pieces
    low, high = -(1 << 8 * width - 1), (1 << 8 * width - 1) - 1
    if not low <= addend <= high:
        raise FixupError(f"the offset {addend} from the symbol does not fit in {8 * width} bits ({low} to {high})")
    write_field(row.addend_field, section.data, fixup.offset + fixup.kind.relocation_offset, addend, order)


def _is_kept_from_the_loader(symbol: AssemblySymbol) -> bool:
    """Whether a 32-bit datum that names `symbol` gets R_BPF_64_NODYLD32, as LLVM chooses.

    It means an offset in its section, which .BTF and .BTF.ext need, rather than an address.
    """
    if symbol.section is None:
        return False
    wanted = SectionFlag.EXECINSTR if symbol.is_temporary else SectionFlag.WRITE
    return bool(symbol.section.sh_flags & SectionFlag.ALLOC and symbol.section.sh_flags & wanted)
