"""Directives that choose the section."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.section import FLAGS_BY_LETTER, TYPES_BY_NAME, SectionBuilder
from bpfas.asm.statement import Directive, Statement, String, SymbolName, TypeName
from bpfas.elf.constants import SECTION_FLAG_LETTERS, SECTION_TYPE_NAMES, SectionFlag, SectionType

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Argument


def _named(name: str, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    section = assembly.section_named(name)
    assembly.switch_to(section.subsection(_subsection_number(directive, assembly, statement)))
    if assembly.section.opened_at is None:
        assembly.section.opened_at = statement.span


def _section(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    if not directive.arguments:
        raise StatementError(f"{directive.name} needs the section's name")
    name_argument, *rest = directive.arguments
    name = assembly.name(name_argument, statement)
    is_new = name not in assembly.sections
    section = assembly.section_named(name)
    if rest:
        _set_attributes(section, rest, assembly, statement, is_new=is_new or section.opened_at is None)
    elif section.opened_at is None:
        section.opened_at = statement.span
    assembly.switch_to(section.subsection(0))


def _set_attributes(
    section: SectionBuilder, arguments: list[Argument], assembly: Assembly, statement: Statement, *, is_new: bool
) -> None:
    flags_argument, *rest = arguments
    sh_flags = _flags(flags_argument, assembly, statement)
    sh_type = section.sh_type
    if rest:
        sh_type = _type(rest.pop(0), assembly, statement)
    sh_entsize = section.sh_entsize
    if sh_flags & SectionFlag.MERGE:
        if not rest:
            raise StatementError("a mergeable section (flag M) needs the size of its entries", flags_argument)
        sh_entsize = assembly.number(rest[0], statement, "the entry size")
        if not 0 < sh_entsize < 1 << 32:
            raise StatementError(f"the entry size {sh_entsize} is not possible", rest[0])
        del rest[0]
    if rest:
        raise StatementError("this argument of .section is one too many", rest[0])
    found = (section.sh_type, section.sh_flags, section.sh_entsize)
    if is_new and not section.size:
        section.sh_type, section.sh_flags, section.sh_entsize = sh_type, sh_flags, sh_entsize
        section.opened_at = statement.span
        if section.is_code:
            section.sh_addralign = max(section.sh_addralign, 8)
    elif found != (sh_type, sh_flags, sh_entsize):
        notes = (f"first opened at {section.opened_at.place}",) if section.opened_at else ()
        raise StatementError(
            f"section `{section.name}` has type {_type_text(found[0])}, flags {_flag_text(found[1])}, entry size "
            f"{found[2]}; here they are {_type_text(sh_type)}, {_flag_text(sh_flags)}, {sh_entsize}",
            flags_argument,
            notes,
        )


def _flags(argument: Argument, assembly: Assembly, statement: Statement) -> SectionFlag:
    if not isinstance(argument, String):
        raise StatementError('the flags are a string, such as "aw"', argument)
    flags = SectionFlag(0)
    for letter in assembly.string(argument, statement).decode("latin-1"):
        if letter not in FLAGS_BY_LETTER:
            raise StatementError(
                f"section flag `{letter}` is unknown; there are {''.join(FLAGS_BY_LETTER)}", argument
            )
        flags |= FLAGS_BY_LETTER[letter]
    return flags


def _type(argument: Argument, assembly: Assembly, statement: Statement) -> int:
    match argument:
        case TypeName(text):
            name = text
        case String() | SymbolName():
            name = assembly.name(argument, statement)
        case _:
            number = assembly.number(argument, statement, "the section type")
            if not 0 < number < 1 << 32 or number in _TYPES_OF_THE_WRITER:
                raise StatementError(f"a section cannot be given the type {number:#x}", argument)
            return number
    if name not in TYPES_BY_NAME:
        raise StatementError(f"section type `{name}` is unknown; there are @{', @'.join(TYPES_BY_NAME)}", argument)
    return TYPES_BY_NAME[name]


_TYPES_OF_THE_WRITER = (
    SectionType.SYMTAB,
    SectionType.STRTAB,
    SectionType.RELA,
    SectionType.REL,
)
"""Types whose contents only the writer of the object can make."""


def _type_text(sh_type: int) -> str:
    name = SECTION_TYPE_NAMES.get(sh_type)
    return f"@{name}" if name else f"{sh_type:#x}"


def _flag_text(sh_flags: int) -> str:
    return f'"{"".join(letter for flag, letter in SECTION_FLAG_LETTERS.items() if sh_flags & flag)}"'


def _push(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    saved = (assembly.subsection, assembly.previous)
    _section(assembly, directive, statement)
    assembly.section_stack.append(saved)


def _pop(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    if not assembly.section_stack:
        raise StatementError(f"{directive.name} has no .pushsection to go back from")
    assembly.subsection, assembly.previous = assembly.section_stack.pop()


def _previous(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    if assembly.previous is None:
        raise StatementError(f"{directive.name}: there was no section before this one")
    assembly.switch_to(assembly.previous)


def _subsection(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    assembly.switch_to(assembly.section.subsection(_subsection_number(directive, assembly, statement)))


def _subsection_number(directive: Directive, assembly: Assembly, statement: Statement) -> int:
    """The argument of `.text 2` and `.subsection 2`; 0 without one."""
    need_arguments(directive, 0, 1)
    if not directive.arguments:
        return 0
    number = assembly.number(directive.arguments[0], statement, "the subsection's number")
    if not 0 <= number <= _LAST_SUBSECTION:
        raise StatementError(f"subsection {number} is not one of 0 to {_LAST_SUBSECTION}", directive.arguments[0])
    return number


_LAST_SUBSECTION = 8192
"""The greatest number of a subsection (GNU as manual, "Sub-Sections")."""


SECTION_DIRECTIVES: dict[str, Handler] = {
    **{name: partial(_named, name) for name in (".text", ".data", ".bss", ".rodata")},
    ".section": _section,
    ".pushsection": _push,
    ".popsection": _pop,
    ".previous": _previous,
    ".subsection": _subsection,
}
