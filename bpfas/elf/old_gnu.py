"""What GNU as for BPF wrote before binutils 2.41 (Debian 12 has 2.40), brought into the form of today.

Two things were different. Most relocation types had other numbers. And where a relocation names a symbol that
lies in a section, and not the section itself, the field held the symbol's value beside the addend, S + A, while
everybody else writes A alone. Who takes that for an addend reads another variable.

Nothing in the file says so, and evidence must do. In all these objects section names have a string table of their
own, and e_flags are 0. That is not so of what LLVM, bpf-as and later versions of GNU as write; but GNU's objcopy,
strip and ld can make such a file of any object. Further there are:

- numbers that nobody uses any more: certain;
- .text, .data and .bss before all other sections, even if they are empty, and a symbol for each: certain unless
  most fields contradict, for no tool adds that to an object;
- where strip has taken those symbols away, the fields alone: they are old if each is S + A for some A inside of
  the symbol, and at least one of them is no such A.

Source: GNU as 2.40, by what it makes of assembly for each type; for the numbers its table of them.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import Diagnostics
from bpfas.elf.constants import SymbolType
from bpfas.objfile import NATIVE_ORDER, Relocation, RelocationTable, Section, place
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, RelocationType, read_addend, write_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.objfile import ObjectFile, Symbol


class _OldType(NamedTuple):
    """A relocation type as it was: its name, today's number, and how far behind r_offset today's r_offset is.

    Without a number: there is no such type any more.
    """

    name: str
    number: RelocationNumber | None = None
    shift: int = 0


_N = RelocationNumber
_OLD_TYPES = {
    1: _OldType("R_BPF_INSN_64", _N.R_BPF_64_64),
    2: _OldType("R_BPF_INSN_32", _N.R_BPF_64_ABS32, 4),
    3: _OldType("R_BPF_INSN_16"),
    4: _OldType("R_BPF_INSN_DISP16", _N.R_BPF_GNU_64_16),
    5: _OldType("R_BPF_DATA_8_PCREL"),
    6: _OldType("R_BPF_DATA_16_PCREL"),
    7: _OldType("R_BPF_DATA_32_PCREL"),
    8: _OldType("R_BPF_DATA_8"),
    9: _OldType("R_BPF_DATA_16"),
    10: _OldType("R_BPF_INSN_DISP32", _N.R_BPF_64_32),
    11: _OldType("R_BPF_DATA_32", _N.R_BPF_64_ABS32),
    12: _OldType("R_BPF_DATA_64", _N.R_BPF_64_ABS64),
    13: _OldType("R_BPF_DATA_64_PCREL"),
}
_NOT_OF_TODAY = frozenset(_OLD_TYPES) - frozenset(_N)
_OTHERWISE_TODAY = frozenset({2, 3, 4})
"""Numbers that stood for fields of instructions, and stand for data today."""

_FIRST_SECTIONS = [".text", ".data", ".bss"]

_VALUES_TAKEN_OUT = (
    "assembled by GNU as before 2.41, which adds the symbols' values to the addends; they were taken out again "
    "(bpf-gcc -B DIR calls DIR/as instead, which can be bpf-as)"
)
_JOINED = (
    "assembled by GNU as before 2.41, and some addends lead outside of what they belong to; GNU ld -r gets these "
    "wrong: link the objects that it was given, not its output"
)
_AMBIGUOUS = (
    "each addend is the value of the symbol that it belongs to; if GNU as before 2.41 has assembled this, that is "
    "wrong, and strip has removed what would tell: link the object that was stripped"
)


def modernize(obj: ObjectFile) -> str:
    """Let `obj` say in the form of today what it says in that of GNU as before 2.41, if that has made it.

    Gives what is to be warned of, or nothing. Raises BpfasError for relocations that cannot be expressed today.
    """
    if obj.e_flags or not obj.has_own_section_names:
        return ""
    sections = [section for section in obj.sections if _has_relocations_without_addends(section)]
    types = {section: _types(section) for section in sections}
    is_certain = any(not _NOT_OF_TODAY.isdisjoint(used) for used in types.values())
    is_assemblers = is_certain or _begins_as_assembled(obj)
    if is_assemblers and (is_certain or _instructions_alone_have(_OTHERWISE_TODAY, types)):
        _renumber(obj, sections)
    fields = [field for section in sections for field in _fields(obj, section)]
    if is_certain:
        has_values = True
    elif is_assemblers:
        has_values = sum(field.addend == 0 for field in fields) <= sum(field.old_addend == 0 for field in fields)
    else:
        has_values = all(field.fits_old for field in fields) and not all(field.fits_today for field in fields)
        if not has_values and fields and all(field.old_addend == 0 for field in fields):
            return _AMBIGUOUS
    if not has_values or not fields:
        return ""
    for field in fields:
        field.write_old_addend()
    fits = _begins_as_assembled(obj) or all(field.fits_old for field in fields)
    return _VALUES_TAKEN_OUT if fits else _JOINED


def _begins_as_assembled(obj: ObjectFile) -> bool:
    """Whether sections and symbols begin as GNU as lets them begin; GNU ld -r puts the file's name behind them."""
    first = obj.sections[: len(_FIRST_SECTIONS)]
    if [section.name for section in first] != _FIRST_SECTIONS:
        return False
    kinds = [symbol.st_type for symbol in obj.symbols]
    described = [symbol.section for symbol in obj.symbols if symbol.st_type is SymbolType.SECTION]
    if described[: len(first)] != first:
        return False
    return SymbolType.FILE not in kinds[kinds.index(SymbolType.SECTION) :]


def _has_relocations_without_addends(section: Section) -> bool:
    table = section.relocation_table
    if table is None:
        return any(reloc.r_addend is None for reloc in section.relocations)
    return not table.has_addends and len(table) > 0


def _types(section: Section) -> set[int]:
    """The relocation types of a section."""
    table = section.relocation_table
    if table is None:
        return {reloc.r_type for reloc in section.relocations}
    return {r_info & 0xFFFFFFFF for r_info in set(table.words()[1::2])}


def _instructions_alone_have(numbers: frozenset[int], types: dict[Section, set[int]]) -> bool:
    """Whether some section of code has relocations of these types, and no other section has."""
    users = [section for section, used in types.items() if not numbers.isdisjoint(used)]
    return bool(users) and all(section.is_code for section in users)


def _renumber(obj: ObjectFile, sections: Sequence[Section]) -> None:
    """Give all relocations of `sections` their numbers of today."""
    diagnostics = Diagnostics()
    for section in sections:
        for reloc in section.relocation_table or section.relocations:
            old = _OLD_TYPES.get(reloc.r_type)
            if old is None:
                continue
            at = place(obj, section, reloc.r_offset)
            if old.number is None:
                message = f"{old.name} (GNU as before 2.41) against {_shown(reloc.symbol)} has no type of today"
                diagnostics.error(f"{message}; load the address with lddw, or from .quad or .long", at)
            elif reloc.r_offset + old.shift + RELOCATION_TYPES[old.number].field.end > section.sh_size:
                diagnostics.error(f"{old.name} lies beyond the section's end at {section.sh_size:#x}", at)
    diagnostics.raise_if_errors()
    for section in sections:
        table = section.relocation_table
        if table is None:
            for reloc in section.relocations:
                reloc.r_offset += _shift(reloc.r_type)
                reloc.r_type = _todays_number(reloc.r_type)
            continue
        words = table.words()
        r_offsets, r_infos = words[::2], words[1::2]
        shifts = {r_info: _shift(r_info & 0xFFFFFFFF) for r_info in set(r_infos)}
        todays = {r_info: r_info & ~0xFFFFFFFF | _todays_number(r_info & 0xFFFFFFFF) for r_info in shifts}
        if any(shifts.values()):
            shifted = (r_offset + shifts[r_info] for r_offset, r_info in zip(r_offsets, r_infos, strict=True))
            words[::2] = array("Q", shifted)
        words[1::2] = array("Q", map(todays.__getitem__, r_infos))
        if table.order is not NATIVE_ORDER:
            words.byteswap()
        section.relocation_table = RelocationTable(words.tobytes(), table.symbols, table.order)


def _shift(r_type: int) -> int:
    return _OLD_TYPES[r_type].shift if r_type in _OLD_TYPES else 0


def _todays_number(r_type: int) -> int:
    old = _OLD_TYPES.get(r_type)
    return r_type if old is None or old.number is None else old.number


def _shown(symbol: Symbol) -> str:
    return symbol.name or (symbol.section.name if isinstance(symbol.section, Section) else "")


class _Field(NamedTuple):
    """The field of a relocation that names a symbol with a value, S; `raw` is what stands there, in its units.

    `room` is how far from the symbol an addend may lead.
    """

    obj: ObjectFile
    section: Section
    r_offset: int
    row: RelocationType
    raw: int
    st_value: int
    room: int

    @property
    def addend(self) -> int:
        """The addend by today's rules, in bytes."""
        return self.raw * self.row.unit

    @property
    def old_addend(self) -> int:
        """The addend by the old rules. S counts in bytes even where the field counts in instructions."""
        return (self.raw - self.st_value) * self.row.unit

    @property
    def fits_today(self) -> bool:
        return 0 <= self.addend <= self.room

    @property
    def fits_old(self) -> bool:
        return 0 <= self.old_addend <= self.room

    def write_old_addend(self) -> None:
        """Leave in the field what is to stand there by today's rules."""
        if not isinstance(self.section.data, bytearray):
            self.section.data = bytearray(self.section.data)
        value = self.raw - self.st_value - self.row.pc_relative
        write_field(self.row.addend_field, self.section.data, self.r_offset, value, self.obj.byte_order)


def _fields(obj: ObjectFile, section: Section) -> Iterator[_Field]:
    """The fields in `section` that differ between then and today."""
    for reloc in _relocations_of_values(section):
        row, symbol, home = RELOCATION_TYPES.get(reloc.r_type), reloc.symbol, reloc.symbol.section
        if row is None or reloc.r_addend is not None or not isinstance(home, Section):
            continue
        raw = read_addend(row, section.data, reloc.r_offset, obj.byte_order) // row.unit
        room = symbol.st_size or home.sh_size - symbol.st_value
        yield _Field(obj, section, reloc.r_offset, row, raw, symbol.st_value, room)


def _relocations_of_values(section: Section) -> Iterator[Relocation]:
    """The relocations of `section` that name a symbol with a value, and not a section."""
    table = section.relocation_table
    if table is None:
        for reloc in section.relocations:
            if _has_value(reloc.symbol):
                yield reloc
        return
    words = table.words()
    symbols = {r_info: table.symbols[r_info >> 32] for r_info in set(words[1::2])}
    wanted = {r_info: symbol for r_info, symbol in symbols.items() if symbol is not None and _has_value(symbol)}
    if wanted:
        for r_offset, r_info in zip(words[::2], words[1::2], strict=True):
            if r_info in wanted:
                yield Relocation(r_offset, r_info & 0xFFFFFFFF, wanted[r_info])


def _has_value(symbol: Symbol) -> bool:
    is_in_section = isinstance(symbol.section, Section) and symbol.st_type is not SymbolType.SECTION
    return is_in_section and symbol.st_value != 0
