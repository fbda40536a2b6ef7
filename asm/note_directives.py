"""Directives that leave a text about the object in it: .ident in .comment, .version in .note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, need_arguments
from bpfas.asm.layout_directives import append_alignment
from bpfas.asm.section import SectionKey
from bpfas.elf.constants import WORD_SIZE, SectionFlag

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Directive, Statement

_COMMENT = ".comment"
_NOTE = ".note"
_NT_VERSION = 1


def _ident(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive)
    texts = [assembly.string(argument, statement) for argument in directive.arguments]
    if SectionKey(_COMMENT) not in assembly.sections:
        section = assembly.section_named(_COMMENT)
        section.sh_flags, section.sh_entsize = int(SectionFlag.MERGE | SectionFlag.STRINGS), 1
        section.opened_at = statement.span
    with assembly.elsewhere(_COMMENT):
        if not assembly.has_ident:
            assembly.append(b"\0")
            assembly.has_ident = True
        for position, text in enumerate(texts):
            is_last = position + 1 not in directive.adjacent
            assembly.append(text + (b"\0" if is_last else b""))


def _version(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 1)
    name = assembly.string(directive.arguments[0], statement) + b"\0"
    header = (len(name), 0, _NT_VERSION)
    with assembly.elsewhere(_NOTE):
        for word in header:
            assembly.append(word.to_bytes(WORD_SIZE, assembly.order.name_for_int))
        assembly.append(name)
        append_alignment(assembly, statement, None, WORD_SIZE)


NOTE_DIRECTIVES: dict[str, Handler] = {
    ".ident": _ident,
    ".version": _version,
}
