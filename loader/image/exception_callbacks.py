"""Exception callbacks: the functions that the kernel calls when programs throw (bpf_throw).

A program names its own by a tag of its type, `exception_callback:FUNCTION`. Nothing calls that function, but it
belongs to the program. Source: libbpf 1.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.loader.nearest import close_matches
from bpfas.objfile import place
from bpfas.section_names import is_subprogram_section

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostics
    from bpfas.loader.image.functions import Function, FunctionTable

_TAG = "exception_callback:"
_WHOLE = -1


def find_exception_callbacks(
    functions: FunctionTable, types: Btf, diagnostics: Diagnostics
) -> dict[Function, Function]:
    """The exception callback of each program of `functions` that has one.

    `types` are those of the programs' object. Tags that name no function, or one that the kernel would not take,
    are reported.
    """
    named: dict[str, list[str]] = {}
    for tag in types.ids_of_kind(Kind.DECL_TAG):
        text, target = types.name(tag), types.size_or_type(tag)
        if text.startswith(_TAG) and types.component(tag) == _WHOLE and types.kind(target) is Kind.FUNC:
            named.setdefault(types.name(target), []).append(text.removeprefix(_TAG))
    if not named:
        return {}
    by_name: dict[str, Function] = {}
    for function in functions.by_place.values():
        if is_subprogram_section(function.section.name):
            by_name.setdefault(function.name, function)
    callbacks = {}
    for symbol, program in functions.programs:
        names = named.get(symbol.name, [])
        at = place(program.obj, program.section, program.start)
        if len(names) > 1:
            message = f"program '{symbol.name}' names {len(names)} exception callbacks: {', '.join(names)}"
            diagnostics.error(message, at, ("the kernel takes one",))
        elif names and names[0] not in by_name:
            near = close_matches(names[0], by_name)
            notes = (f"did you mean '{near[0]}'?",) if near else ("it has to be a global function in .text",)
            message = f"program '{symbol.name}' has '{names[0]}' for its exception callback, which is no function"
            diagnostics.error(message, at, notes)
        elif names:
            callback = callbacks[program] = by_name[names[0]]
            if not callback.is_global or callback.is_hidden:
                words = "hidden" if callback.is_hidden else "static"
                message = f"the exception callback '{names[0]}' of program '{symbol.name}' is {words}"
                diagnostics.error(message, at, ("the kernel verifies it by itself: make it global",))
    return callbacks
