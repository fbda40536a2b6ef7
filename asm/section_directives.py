"""Directives that choose the section.

What the arguments of `.section` say is `bpfas.asm.section_arguments`' part.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.section import LinkOrder, SectionBuilder, SectionGroup, SectionKey
from bpfas.asm.section_arguments import SectionArguments, section_arguments
from bpfas.asm.statement import Directive, Expression, Statement
from bpfas.elf.constants import SECTION_FLAG_LETTERS, SECTION_TYPE_NAMES, SectionFlag

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Argument


def _named(name: str, assembly: Assembly, directive: Directive, statement: Statement) -> None:
    number = _subsection_number(directive, assembly, statement)
    if name == ".data" and assembly.options.folds_data_into_text:
        name, number = ".text", _FOLDED_DATA + number
    assembly.switch_to(assembly.section_named(name).subsection(number))
    if assembly.section.opened_at is None:
        assembly.section.opened_at = statement.span


_FOLDED_DATA = 1000
"""With -R, `.data N` is subsection 1000 + N of .text, as in GNU as,"""

_FOLDED_SECTION = 1 << 14
"""and what `.section .data` gets comes behind all others."""


def _section(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    _name_section(directive, list(directive.arguments[1:]), 0, assembly, statement)


def _name_section(
    directive: Directive, rest: list[Argument], subsection: int, assembly: Assembly, statement: Statement
) -> None:
    """Make the section that the first argument names, and `rest` from the flags on describes, the current one."""
    if not directive.arguments:
        raise StatementError(f"{directive.name} needs the section's name")
    name = assembly.name(directive.arguments[0], statement)
    if name == ".data" and assembly.options.folds_data_into_text:
        section, subsection = assembly.section_named(".text"), _FOLDED_SECTION
    elif rest:
        section = _described(name, rest, assembly, statement)
    else:
        section = assembly.section_named(name)
        section.opened_at = section.opened_at or statement.span
    assembly.switch_to(section.subsection(subsection))


def _described(name: str, arguments: list[Argument], assembly: Assembly, statement: Statement) -> SectionBuilder:
    """The section that the arguments behind the name describe, made if it is new."""
    said = section_arguments(arguments, assembly, statement)
    group = _group(said, arguments[0], assembly, statement)
    sh_flags = said.sh_flags | (SectionFlag.GROUP if group else 0)
    key = SectionKey(name, group.signature.name if group else None, said.linked_to, said.unique)
    is_new = key not in assembly.sections
    section = assembly.section_by(key)
    wanted = (
        section.sh_type if said.sh_type is None else said.sh_type,
        sh_flags,
        section.sh_entsize if said.sh_entsize is None else said.sh_entsize,
    )
    found = (section.sh_type, section.sh_flags, section.sh_entsize)
    if (is_new or section.opened_at is None) and not section.size:
        section.sh_type, section.sh_flags, section.sh_entsize = wanted
        section.opened_at = statement.span
        section.sh_info, section.group = said.sh_info, group
        if said.linked_to:
            section.link_order = LinkOrder(assembly.symbols.named(said.linked_to), statement, arguments[0])
        if section.is_code:
            section.sh_addralign = max(section.sh_addralign, 8)
    elif found != wanted:
        notes = (f"first opened at {section.opened_at.place}",) if section.opened_at else ()
        raise StatementError(
            f"section `{section.name}` has type {_type_text(found[0])}, flags {_flag_text(found[1])}, entry size "
            f"{found[2]}; here they are {_type_text(wanted[0])}, {_flag_text(wanted[1])}, {wanted[2]}",
            arguments[0],
            notes,
        )
    return section


def _group(
    said: SectionArguments, node: Argument, assembly: Assembly, statement: Statement
) -> SectionGroup | None:
    """The group that a section is to be in, made if it is new."""
    if said.follows_group:
        return assembly.section.group
    if said.group is None:
        return None
    group = assembly.groups.get(said.group)
    if group is None:
        signature = assembly.symbols.named(said.group)
        group = assembly.groups[said.group] = SectionGroup(signature, said.is_comdat, statement.span)
    elif said.is_comdat and not group.is_comdat:
        notes = (f"first named at {group.named_at.place}",)
        raise StatementError(f"group `{said.group}` was not comdat before", node, notes)
    return group


def _type_text(sh_type: int) -> str:
    name = SECTION_TYPE_NAMES.get(sh_type)
    return f"@{name}" if name else f"{sh_type:#x}"


def _flag_text(sh_flags: int) -> str:
    return f'"{"".join(letter for flag, letter in SECTION_FLAG_LETTERS.items() if sh_flags & flag)}"'


def _push(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    saved = (assembly.subsection, assembly.previous)
    rest = list(directive.arguments[1:])
    has_subsection = bool(rest) and isinstance(rest[0], Expression)
    number = _checked_subsection(rest.pop(0), assembly, statement) if has_subsection else 0
    _name_section(directive, rest, number, assembly, statement)
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
    return _checked_subsection(directive.arguments[0], assembly, statement)


def _checked_subsection(argument: Argument, assembly: Assembly, statement: Statement) -> int:
    number = assembly.number(argument, statement, "the subsection's number")
    if not 0 <= number <= _LAST_SUBSECTION:
        raise StatementError(f"subsection {number} is not one of 0 to {_LAST_SUBSECTION}", argument)
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
