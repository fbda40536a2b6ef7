"""Versions of symbols, as `.symver` gives them: further names, or other names, for symbols of the object.

In a relocatable file a version is part of a symbol's name, `name@version`; a linker takes it from there (GNU as
manual, ".symver").
"""

from __future__ import annotations

import copy
import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.expression import ExpressionError
from bpfas.elf.constants import SymbolBinding, SymbolVisibility

if TYPE_CHECKING:
    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Directive, Statement
    from bpfas.asm.symbol import AssemblySymbol
    from bpfas.objfile import Symbol


class Original(enum.Enum):
    """What becomes of a defined symbol under its own name when it gets a version."""

    KEPT = None
    LOCAL = "local"
    HIDDEN = "hidden"
    REMOVED = "remove"


@dataclass(frozen=True, slots=True)
class SymbolVersion:
    """`base@version` as a name for a symbol; `sign` is `@`, `@@` (the default version) or `@@@`."""

    base: str
    sign: str
    version: str
    original: Original

    @property
    def renames(self) -> bool:
        """Whether the name takes the place of a defined symbol's own."""
        return self.sign == "@@@" or self.original is Original.REMOVED

    def name(self, *, is_defined: bool) -> str:
        """The name in the object. `@@@` means `@@` for a definition and `@` for a reference."""
        sign = {True: "@@", False: "@"}[is_defined] if self.sign == "@@@" else self.sign
        return f"{self.base}{sign}{self.version}"


_VERSIONED_NAME = re.compile(r"([^@]+)(@{1,3})([^@]+)")


def _symver(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 2, 3)
    symbol = assembly.symbol(directive.arguments[0], statement)
    match = _VERSIONED_NAME.fullmatch(assembly.name(directive.arguments[1], statement))
    if match is None:
        raise StatementError("a name with a version is written name@version", directive.arguments[1])
    original = Original.KEPT
    if directive.arguments[2:]:
        word = assembly.name(directive.arguments[2], statement)
        if word not in _WORDS:
            raise StatementError(f"`{word}` is none of {', '.join(_WORDS)}", directive.arguments[2])
        original = _WORDS[word]
    symbol.versions = (*symbol.versions, SymbolVersion(match[1], match[2], match[3], original))
    symbol.defined_at = symbol.defined_at or statement.span


_WORDS = {original.value: original for original in Original if original.value is not None}

VERSION_DIRECTIVES: dict[str, Handler] = {".symver": _symver}


def with_versions(symbol: AssemblySymbol, shown: Symbol) -> list[Symbol]:
    """`shown`, which stands for `symbol`, with what its versions make of it, and symbols for further names.

    Raises ExpressionError where a version cannot be.
    """
    versions = symbol.versions
    if not shown.is_defined:
        if any(version.sign == "@@" for version in versions):
            raise ExpressionError("a default version (@@) is for a symbol that is defined here, which it is not")
        if len(versions) > 1:
            raise ExpressionError("is not defined here, so it can have one version only")
    further: list[Symbol] = []
    renamed = False
    names = [version.name(is_defined=shown.is_defined) for version in versions]
    bind, visibility = shown.st_bind, shown.st_visibility
    for name, version in zip(names, versions, strict=True):
        if (version.renames or not shown.is_defined) and not renamed:
            shown.name, renamed = name, True
        else:
            version_of = copy.copy(shown)
            version_of.name, version_of.st_bind, version_of.st_visibility = name, bind, visibility
            further.append(version_of)
        if version.original is Original.LOCAL:
            shown.st_bind = SymbolBinding.LOCAL
        elif version.original is Original.HIDDEN:
            shown.st_visibility = SymbolVisibility.HIDDEN
    return [shown, *further]
