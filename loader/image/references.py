"""What the functions of an object refer to: maps, data, one another, and what other objects or the kernel have.

Every relocation of a function is checked (its type against the instruction, the instruction's src_reg against what
the symbol is) and becomes a reference to a map or to a function; calls that the assembler or linker has
already resolved become references as well, because programs take the functions they call with them to new
places. What a symbol stands for is `bpfas.loader.image.binding`. Instructions are not changed here; that is
`bpfas.loader.image.subprograms`. Source: RFC 9669 §5.4 and the kernel's llvm_reloc.rst.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SectionType
from bpfas.isa import BY_NAME, SLOT_SIZE
from bpfas.loader.image.jump_tables import jump_targets
from bpfas.loader.image.places import target_text
from bpfas.loader.instructions import CALL, LOAD_IMMEDIATE_64, CallSource, Code, LoadSource
from bpfas.loader.kinds import MapType
from bpfas.loader.spec import ExternReference, MapReference, ReferenceKind
from bpfas.objfile import Section, SpecialSection, place
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, addend_of, relocation_name
from bpfas.section_names import JUMP_TABLES_SECTION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.diag import Diagnostics
    from bpfas.loader.image.binding import Scope
    from bpfas.loader.image.functions import Function, FunctionTable
    from bpfas.loader.image.mapdefs import MapTable
    from bpfas.objfile import Relocation, Symbol


class CodeReference(NamedTuple):
    """Instruction `instruction` of a function calls `target`, or takes its address.

    `offset` is where in the target, counted in slots: not 0 only inside the function that refers.
    """

    instruction: int
    target: Function
    offset: int = 0


class KconfigReference(NamedTuple):
    """A 64-bit immediate load of the address of a variable of `.kconfig`, `addend` bytes from its start."""

    instruction: int
    name: str
    addend: int


class JumpTableReference(NamedTuple):
    """A 64-bit immediate load of a table of jumps' address; `targets` count from the function's start."""

    instruction: int
    name: str
    targets: tuple[int, ...]


class References:
    """All that one function refers to, in the order of its instructions.

    `presence_tests` are the loads of a function's address that only ask whether there is such a function.
    """

    def __init__(self) -> None:
        self.maps: list[MapReference] = []
        self.code: list[CodeReference] = []
        self.externs: list[ExternReference] = []
        self.kconfig: list[KconfigReference] = []
        self.jump_tables: list[JumpTableReference] = []
        self.presence_tests: list[int] = []


class _Requirement(NamedTuple):
    """The instruction that a relocation type applies to."""

    opcode: int
    words: str


_REQUIREMENTS: dict[int, _Requirement] = {
    RelocationNumber.R_BPF_64_64: _Requirement(LOAD_IMMEDIATE_64, "a 64-bit immediate load"),
    RelocationNumber.R_BPF_64_32: _Requirement(CALL, "a call"),
}
_NOT_BEFORE_LOADING: dict[int, str] = {
    RelocationNumber.R_BPF_GNU_64_16: "jumps and offsets cannot lead to another section; call a function instead",
    RelocationNumber.R_BPF_64_ABS32: "the kernel's addresses have 64 bits; use lddw (r1 = symbol ll)",
    RelocationNumber.R_BPF_64_NODYLD32: "the kernel's addresses have 64 bits; use lddw (r1 = symbol ll)",
    RelocationNumber.R_BPF_64_ABS64: "use lddw (r1 = symbol ll) instead of data between instructions",
}
_LINK_FIRST_COMMON = "link the object, which gives it room: bpf-ld -o linked.o ..."
_ZERO_TESTS = (BY_NAME["jeq_imm"].code, BY_NAME["jne_imm"].code)


def resolve_references(
    entries: Iterable[Function], maps: MapTable, functions: FunctionTable, scope: Scope, diagnostics: Diagnostics
) -> dict[Function, References]:
    """What each of `entries`, and each function that they lead to, refers to; errors go to `diagnostics`.

    `maps` and `functions` are those of all objects of `scope`. Relocations outside any function (of weak functions
    that another object replaced) are not looked at.
    """
    resolver = _Resolver(maps, functions, scope, diagnostics)
    pending = deque(entries)
    found: dict[Function, References] = {}
    while pending:
        function = pending.popleft()
        if function not in found:
            found[function] = resolver.references(function)
            pending.extend(reference.target for reference in found[function].code)
    return found


class _Resolver:
    def __init__(self, maps: MapTable, functions: FunctionTable, scope: Scope, diagnostics: Diagnostics) -> None:
        self.maps = maps
        self.functions = functions
        self.scope = scope
        self.diagnostics = diagnostics
        self.sorted_relocations: dict[Section, list[Relocation]] = {}

    def relocations(self, section: Section) -> list[Relocation]:
        if section not in self.sorted_relocations:
            self.sorted_relocations[section] = sorted(section.relocations, key=_offset)
        return self.sorted_relocations[section]

    def references(self, function: Function) -> References:
        found = References()
        code = Code(function.code, function.obj.byte_order)
        relocations = self.relocations(function.section)
        waiting: dict[int, Relocation] = {}
        first = bisect_left(relocations, function.start, key=_offset)
        end = bisect_left(relocations, function.end, key=_offset)
        for relocation in relocations[first:end]:
            if relocation.r_type == RelocationNumber.R_BPF_NONE:
                continue
            offset = relocation.r_offset - function.start
            if offset in waiting:
                self.error("a second relocation for the same instruction", function, offset)
            waiting[offset] = relocation
        referring = code.calls_and_wide_loads()
        second_slots = {index + 1 for index in referring if code.opcode(index) == LOAD_IMMEDIATE_64}
        relocated_slots = {offset // SLOT_SIZE for offset in waiting if not offset % SLOT_SIZE}
        for index in sorted((relocated_slots - second_slots).union(referring)):
            relocated = waiting.pop(index * SLOT_SIZE, None)
            if relocated is None:
                self.resolve_relative(function, code, index, found)
            elif self.is_applicable(function, code, index, relocated):
                self.resolve_relocation(function, code, index, relocated, found)
        for offset, relocation in waiting.items():
            name = relocation_name(relocation.r_type)
            notes = self.notes_on(relocation)
            self.error(f"{name} does not apply to the start of an instruction", function, offset, notes)
        return found

    def error(self, message: str, function: Function, offset: int, notes: tuple[str, ...] = ()) -> None:
        self.diagnostics.error(message, place(function.obj, function.section, function.start + offset), notes)

    def notes_on(self, relocation: Relocation) -> tuple[str, ...]:
        reason = _NOT_BEFORE_LOADING.get(relocation.r_type)
        return (reason,) if reason else ()

    def is_applicable(self, function: Function, code: Code, index: int, relocation: Relocation) -> bool:
        """Whether the relocation's type belongs to the instruction; else an error."""
        offset = index * SLOT_SIZE
        name = relocation_name(relocation.r_type)
        requirement = _REQUIREMENTS.get(relocation.r_type)
        symbol = relocation.symbol
        if requirement is None:
            message = f"{name} against '{target_text(symbol, symbol.st_value)}' cannot be applied to a program"
            self.error(message, function, offset, self.notes_on(relocation))
        elif code.opcode(index) != requirement.opcode:
            message = f"{name} applies to {requirement.words}, but the opcode is {code.opcode(index):#04x}"
            self.error(message, function, offset)
        else:
            return True
        return False

    def report_special(self, function: Function, index: int, symbol: Symbol) -> None:
        """Report that the definition of `symbol` has no place in a section."""
        assert isinstance(symbol.section, SpecialSection)
        words, advice = _SPECIAL_WORDS[symbol.section]
        message = f"'{symbol.name}' is {words}, which has no place in a section"
        self.error(message, function, index * SLOT_SIZE, (advice,))

    def resolve_relocation(
        self, function: Function, code: Code, index: int, relocation: Relocation, found: References
    ) -> None:
        """Resolve a relocation that `is_applicable`."""
        at = index * SLOT_SIZE
        is_call = relocation.r_type == RelocationNumber.R_BPF_64_32
        row = RELOCATION_TYPES[relocation.r_type]
        addend = addend_of(row, relocation.r_addend, code.data, at, function.obj.byte_order)
        symbol = self.scope.definition(function, at, relocation.symbol, is_call=is_call)
        if symbol is None:
            self.add_extern_reference(function, code, index, relocation.symbol.name, addend, found)
            return
        section = symbol.section
        if not isinstance(section, Section):
            self.report_special(function, index, symbol)
            return
        offset = symbol.st_value + addend
        target = target_text(symbol, offset)
        if is_call:
            if self.source_is(function, code, index, f"'{target}'", (CallSource.FUNCTION,)):
                self.add_code_reference(function, index, section, offset, target, found)
        elif section in self.maps.definitions:
            spec = self.maps.definitions[section].get(offset)
            if spec is None:
                self.error(f"no map definition begins at '{target}'", function, at)
            elif self.source_is(function, code, index, f"map '{spec.name}'", _MAP_SOURCES):
                found.maps.append(MapReference(index, spec.name, ReferenceKind.MAP_FD))
        elif section in self.maps.data:
            spec = self.maps.data[section]
            # Behind its data, too, an arena has memory.
            if offset < 0 or (offset >= section.sh_size and spec.map_type != MapType.ARENA):
                message = f"'{target}' is outside section '{section.name}'"
                note = f"the offset is {offset}, the section has {section.sh_size} bytes"
                self.error(message, function, at, (note,))
            elif self.source_is(function, code, index, f"'{target}' in '{section.name}'", _DATA_SOURCES):
                found.maps.append(MapReference(index, spec.name, ReferenceKind.MAP_VALUE, offset))
        elif section.is_code:
            if not self.source_is(function, code, index, f"function '{target}'", _FUNCTION_SOURCES):
                pass
            elif relocation.symbol.section is SpecialSection.UNDEF and _is_presence_test(code, index):
                found.presence_tests.append(index)
            else:
                self.add_code_reference(function, index, section, offset, target, found)
        elif section.name == JUMP_TABLES_SECTION:
            targets = jump_targets(symbol, section, offset, function, self.diagnostics)
            if targets is not None and self.source_is(function, code, index, f"'{target}'", _DATA_SOURCES):
                found.jump_tables.append(JumpTableReference(index, f"{section.name}{offset:+#x}", targets))
        else:
            message = f"'{target}' is in section '{section.name}', which is not loaded into the kernel"
            self.error(message, function, at, (_unloaded_note(section),))

    def add_extern_reference(
        self, function: Function, code: Code, index: int, name: str, addend: int, found: References
    ) -> None:
        """Note a reference to what no object defines."""
        is_call = code.opcode(index) == CALL
        if not is_call and self.scope.is_configuration(name):
            if self.source_is(function, code, index, f"'{name}'", _DATA_SOURCES):
                found.kconfig.append(KconfigReference(index, name, addend))
            return
        sources = _EXTERN_CALL_SOURCES if is_call else _EXTERN_LOAD_SOURCES
        if addend:
            message = f"{addend:+#x} to the address of '{name}', which is not known before loading"
            self.error(message, function, index * SLOT_SIZE, ("add it to the register, in an instruction",))
        elif self.source_is(function, code, index, f"'{name}'", sources):
            found.externs.append(ExternReference(index, name))

    def resolve_relative(self, function: Function, code: Code, index: int, found: References) -> None:
        """Note what a call or a function's address, resolved by the assembler already, leads to."""
        call = code.opcode(index) == CALL and code.src(index) == CallSource.FUNCTION
        load = code.opcode(index) == LOAD_IMMEDIATE_64 and code.src(index) == LoadSource.FUNCTION
        if call or load:
            offset = function.start + (index + code.imm(index) + 1) * SLOT_SIZE
            target = f"{function.section.name}{offset:+#x}"
            self.add_code_reference(function, index, function.section, offset, target, found)

    def add_code_reference(
        self, function: Function, index: int, section: Section, offset: int, target: str, found: References
    ) -> None:
        if called := self.functions.at(section, offset):
            found.code.append(CodeReference(index, called))
        elif section is function.section and function.start <= offset < function.end:
            distance, rest = divmod(offset - function.start, SLOT_SIZE)
            if rest:
                self.error(f"'{target}' is not the start of an instruction", function, index * SLOT_SIZE)
            else:
                found.code.append(CodeReference(index, function, distance))
        else:
            self.error(
                f"no function begins at '{target}'",
                function,
                index * SLOT_SIZE,
                ("mark the function with .type NAME, @function",),
            )

    def source_is(self, function: Function, code: Code, index: int, target: str, allowed: tuple[int, ...]) -> bool:
        """Whether the instruction's src_reg is one that goes with what it refers to; else an error."""
        source = code.src(index)
        if source in allowed:
            return True
        words = " or ".join(str(int(value)) for value in allowed)
        notes = ("%map() is for maps; leave it out for data and functions",) if source == LoadSource.MAP_FD else ()
        self.error(
            f"the instruction that refers to {target} has src_reg {source}, not {words}",
            function,
            index * SLOT_SIZE,
            notes,
        )
        return False


_MAP_SOURCES = (LoadSource.IMMEDIATE, LoadSource.MAP_FD)
_DATA_SOURCES = (LoadSource.IMMEDIATE, LoadSource.MAP_VALUE)
_EXTERN_CALL_SOURCES = (CallSource.FUNCTION, CallSource.KFUNC)
_EXTERN_LOAD_SOURCES = (LoadSource.IMMEDIATE, LoadSource.BTF_ID)
_FUNCTION_SOURCES = (LoadSource.IMMEDIATE, LoadSource.FUNCTION)
_SPECIAL_WORDS = {
    SpecialSection.ABS: ("an absolute symbol", "use the number itself, or define the symbol in a section"),
    SpecialSection.COMMON: ("a common symbol", _LINK_FIRST_COMMON),
    SpecialSection.UNDEF: ("an undefined local symbol", "make it global (.globl), so that others can define it"),
}


def _is_presence_test(code: Code, index: int) -> bool:
    """Whether the address that is loaded at `index` is compared with 0 at once, as in `if (function)`.

    The kernel takes a function's address only for callbacks.
    """
    test = index + 2
    is_zero_test = test < len(code) and code.opcode(test) in _ZERO_TESTS and code.imm(test) == 0
    return is_zero_test and code.dst(test) == code.dst(index)


def _offset(relocation: Relocation) -> int:
    return relocation.r_offset


def _unloaded_note(section: Section) -> str:
    if section.sh_type in (SectionType.PROGBITS, SectionType.NOBITS):
        return "data is loaded from .data, .rodata, .bss and sections named like .data.own, maps from 'maps'"
    return f"its sh_type is {int(section.sh_type)}"
