"""What the arguments of `.section name, "flags", @type, …` say, as values.

Which section that is, and whether it may be, is `bpfas.asm.section_directives`' part.

The arguments behind the type come in this order, each if something asks for it: the size of entries, the section
or symbol that SHF_LINK_ORDER goes with, the group, `comdat`, `unique` and a number (GNU as manual, ".section"; so
in LLVM).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError
from bpfas.asm.expression import parse_number
from bpfas.asm.section import FLAGS_BY_LETTER, TYPES_BY_NAME
from bpfas.asm.statement import Number, Statement, String, SymbolName, TypeName
from bpfas.elf.constants import SectionFlag, SectionType

if TYPE_CHECKING:
    from bpfas.asm.statement import Argument

SAME_GROUP = "?"
"""The letter that stands for the group of the section that was current."""


@dataclass(eq=False, slots=True)
class SectionArguments:
    """What was said of a section; None where nothing was.

    `linked_to` and `group` are names; `follows_group` says that the group is that of the current section.
    """

    sh_flags: int = 0
    sh_type: int | None = None
    sh_entsize: int | None = None
    sh_info: int = 0
    linked_to: str | None = None
    group: str | None = None
    is_comdat: bool = False
    follows_group: bool = False
    unique: int | None = None


def section_arguments(arguments: list[Argument], assembly: Assembly, statement: Statement) -> SectionArguments:
    """Read the arguments behind the name. Raises StatementError or ExpressionError."""
    flags_argument, *rest = arguments
    found = SectionArguments()
    found.sh_flags, found.follows_group = _flags(flags_argument, assembly, statement)
    if rest:
        found.sh_type = _type(rest.pop(0), assembly, statement)
    if _takes_entry_size(found, rest):
        found.sh_entsize = _entry_size(rest, flags_argument, assembly, statement)
    if found.sh_flags & SectionFlag.GNU_MBIND and rest and isinstance(rest[0], Number):
        found.sh_info = _number(rest.pop(0), 0, assembly, statement, "the number of the memory")
    if found.sh_flags & SectionFlag.LINK_ORDER:
        found.linked_to = _linked_to(rest, flags_argument, assembly, statement)
    if found.sh_flags & SectionFlag.GROUP:
        if not rest:
            raise StatementError("a section of a group (flag G) needs the group's name", flags_argument)
        found.group = _name(rest.pop(0), assembly, statement)
        if rest and _is_word("comdat", rest[0], statement):
            found.is_comdat = True
            del rest[0]
    if rest and _is_word("unique", rest[0], statement):
        if not rest[1:]:
            raise StatementError("behind `unique` there must be a number", rest[0])
        found.unique = _number(rest[1], 0, assembly, statement, "the number behind `unique`")
        del rest[:2]
    if rest:
        raise StatementError("this argument of .section is one too many", rest[0])
    return found


_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_TOKEN_OF_FLAGS = re.compile(f"{_NUMBER.pattern}|.", re.DOTALL)


def _flags(argument: Argument, assembly: Assembly, statement: Statement) -> tuple[int, bool]:
    """The flags, and whether `?` was among them."""
    if not isinstance(argument, String):
        raise StatementError('the flags are a string, such as "aw"', argument)
    flags, follows_group = 0, False
    for token in _TOKEN_OF_FLAGS.findall(assembly.string(argument, statement).decode("latin-1")):
        if token == SAME_GROUP:
            follows_group = True
        elif token in FLAGS_BY_LETTER:
            flags |= FLAGS_BY_LETTER[token]
        elif token[0].isdigit():
            flags |= parse_number(token)
        else:
            raise StatementError(
                f"section flag `{token}` is unknown; there are {''.join(FLAGS_BY_LETTER)}{SAME_GROUP} and numbers",
                argument,
            )
    if flags >> 64 or flags & SectionFlag.INFO_LINK:
        raise StatementError(f"a section cannot be given the flags {flags:#x}", argument)
    if follows_group and flags & SectionFlag.GROUP:
        raise StatementError("a section is in a group of its own (G) or in the current section's (?)", argument)
    if flags & SectionFlag.GNU_MBIND and not flags & SectionFlag.ALLOC:
        raise StatementError("the flag `d` needs `a`: it is for sections in memory", argument)
    return flags, follows_group


def _type(argument: Argument, assembly: Assembly, statement: Statement) -> int:
    match argument:
        case TypeName(text):
            name = text
        case String() | SymbolName():
            name = assembly.name(argument, statement)
        case _:
            return _checked_type(assembly.number(argument, statement, "the section type"), argument)
    if _NUMBER.fullmatch(name):
        return _checked_type(parse_number(name), argument)
    if name not in TYPES_BY_NAME:
        raise StatementError(f"section type `{name}` is unknown; there are @{', @'.join(TYPES_BY_NAME)}", argument)
    return TYPES_BY_NAME[name]


_TYPES_OF_THE_WRITER = (
    SectionType.SYMTAB,
    SectionType.STRTAB,
    SectionType.RELA,
    SectionType.REL,
    SectionType.GROUP,
    SectionType.SYMTAB_SHNDX,
)
"""Types whose contents only the writer of the object can make."""


def _checked_type(number: int, argument: Argument) -> int:
    if not 0 < number < 1 << 32 or number in _TYPES_OF_THE_WRITER:
        raise StatementError(f"a section cannot be given the type {number:#x}", argument)
    return number


def _takes_entry_size(found: SectionArguments, rest: list[Argument]) -> bool:
    if found.sh_flags & SectionFlag.MERGE:
        return True
    may_have = found.sh_flags & SectionFlag.STRINGS or found.sh_type == SectionType.LLVM_CFI_JUMP_TABLE
    return bool(may_have and rest and isinstance(rest[0], Number))


def _entry_size(rest: list[Argument], flags_argument: Argument, assembly: Assembly, statement: Statement) -> int:
    if not rest:
        raise StatementError("a mergeable section (flag M) needs the size of its entries", flags_argument)
    return _number(rest.pop(0), 1, assembly, statement, "the entry size")


def _linked_to(rest: list[Argument], flags_argument: Argument, assembly: Assembly, statement: Statement) -> str:
    """The name of the section or symbol that the section goes with; empty for the number 0, which means none."""
    if not rest:
        raise StatementError("link order (flag o) needs the section to go with, or a symbol in it", flags_argument)
    argument = rest.pop(0)
    if isinstance(argument, Number):
        number = assembly.number(argument, statement, "the section to go with")
        if number:
            raise StatementError("a section is named by its name; the number 0 means none", argument)
        return ""
    return assembly.name(argument, statement)


def _number(argument: Argument, least: int, assembly: Assembly, statement: Statement, what: str) -> int:
    number = assembly.number(argument, statement, what)
    if not least <= number < (1 << 32) - 1:
        raise StatementError(f"{what} is {number}, but may be {least} to {(1 << 32) - 2}", argument)
    return number


def _name(argument: Argument, assembly: Assembly, statement: Statement) -> str:
    """A name, which may be a number too, as that of a group may."""
    if isinstance(argument, Number):
        return statement.texts[argument.slot]
    return assembly.name(argument, statement)


def _is_word(word: str, argument: Argument, statement: Statement) -> bool:
    return isinstance(argument, SymbolName) and statement.texts[argument.slot] == word
