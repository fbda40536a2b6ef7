"""What names stand for when an object is bound to others at load time, and which of them stay open.

The rules are a link's: a strong definition counts before a weak one, of weak ones the first, and two strong ones
are an error, here where the name is used. Unlike in a link, every object keeps its hidden names to itself. A name
that no object defines is left to the kernel if it is declared so (`bpfas.loader.image.externs`) or asked for; else
a weak one stands for nothing, and a strong one is an error. Everything here is independent of the running kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import SymbolBinding
from bpfas.helpers import HELPERS
from bpfas.loader.image.externs import declared_externs
from bpfas.loader.nearest import close_matches
from bpfas.loader.spec import Binding, BindingKind, ExternSource, ExternSpec
from bpfas.objfile import OWN_ONLY, Section, SpecialSection, place
from bpfas.section_names import JUMP_TABLES_SECTION, KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.loader.image.externs import ExternDeclaration
    from bpfas.loader.image.functions import Function
    from bpfas.loader.image.object_btf import ObjectTypes
    from bpfas.objfile import ObjectFile, Symbol

_MAX_PLACES = 3
_LINK_OR_BIND = (
    "link it with the object that defines the symbol (bpf-ld -o linked.o ...), or bind it to that object when it "
    "is loaded (bpf-load --with OTHER.o ...)"
)


class Definition(NamedTuple):
    """A symbol that has a place, and the object it is of."""

    obj: ObjectFile
    symbol: Symbol

    def place(self) -> str:
        """How messages name it."""
        section = self.symbol.section
        return place(self.obj, section, self.symbol.st_value) if isinstance(section, Section) else self.obj.name


class _Mention:
    """A name that is used without the using object's own definition counting."""

    def __init__(self, definition: Definition | None) -> None:
        self.definition = definition
        self.is_weak = True
        self.is_called = False
        self.uses: list[str] = []


class Scope:
    """The names of an object and of the libraries that it is bound to.

    `objects` begin with the object that is to be loaded; `ksyms` are the names that are asked for from the kernel,
    `types` those of the objects that have any.
    """

    def __init__(
        self,
        objects: Sequence[ObjectFile],
        ksyms: Sequence[str],
        types: Mapping[ObjectFile, ObjectTypes],
        diagnostics: Diagnostics,
    ) -> None:
        self._objects = objects
        self._types = types
        self._ksyms = ksyms
        self._diagnostics = diagnostics
        self._definitions: dict[str, list[Definition]] = {}
        self._hidden: dict[str, Definition] = {}
        self._mentions: dict[str, _Mention] = {}
        self._rivals: set[str] = set()
        self._declarations: dict[str, tuple[ObjectFile, ExternDeclaration]] | None = None
        for obj in objects:
            self._enter(obj)

    def _enter(self, obj: ObjectFile) -> None:
        for symbol in obj.symbols:
            if _is_own(symbol) or not isinstance(symbol.section, Section):
                continue
            if symbol.st_visibility in OWN_ONLY:
                self._hidden.setdefault(symbol.name, Definition(obj, symbol))
            else:
                self._definitions.setdefault(symbol.name, []).append(Definition(obj, symbol))

    def definition(self, function: Function, offset: int, symbol: Symbol, *, is_call: bool) -> Symbol | None:
        """The definition that `symbol` stands for where `function` uses it, `offset` bytes from its start.

        It is `symbol` itself if no other counts more, even if that has no place in a section; None if there is
        none.
        """
        is_defined = symbol.section is not SpecialSection.UNDEF
        if _is_own(symbol) or (is_defined and symbol.st_visibility in OWN_ONLY):
            return symbol
        at = place(function.obj, function.section, function.start + offset)
        found = self._winner(symbol, at)
        if is_defined and (found is None or found.obj is function.obj):
            return symbol
        mention = self._mentions.setdefault(symbol.name, _Mention(found))
        mention.is_weak &= symbol.st_bind is SymbolBinding.WEAK
        mention.is_called |= is_call
        mention.uses.append(at)
        return found.symbol if found else None

    def _winner(self, symbol: Symbol, at: str) -> Definition | None:
        known = self._definitions.get(symbol.name, [])
        strong = [found for found in known if found.symbol.st_bind is not SymbolBinding.WEAK]
        rival = next((found for found in strong if found.obj is not strong[0].obj), None)
        if rival and symbol.name not in self._rivals:
            self._rivals.add(symbol.name)
            self._diagnostics.error(
                f"'{symbol.name}' is defined twice",
                at,
                (
                    f"defined at {strong[0].place()}",
                    f"defined at {rival.place()}",
                    "make one of them weak (.weak) or hidden (.hidden), or leave out one of the objects",
                ),
            )
        return next(iter(strong or known), None)

    def conclude(self) -> tuple[dict[str, ExternSpec], tuple[Binding, ...]]:
        """The names used so far that no object defines, and what all names not the user's own are bound to.

        Options of the kernel's configuration are no such names. The types of the others are of the objects that
        `declaration` names. Strong names that are bound to nothing are reported.
        """
        externs: dict[str, ExternSpec] = {}
        bindings: list[Binding] = []
        for name, mention in self._mentions.items():
            if mention.definition:
                kind, definition = BindingKind.OBJECT, mention.definition.place()
            elif self.is_configuration(name) and not mention.is_called:
                kind, definition = BindingKind.KERNEL, ""
            else:
                source = self._source(name, mention)
                kind, definition = _KINDS.get(source, BindingKind.KERNEL), ""
                if source is not None:
                    declared = self.declaration(name)
                    type_id = declared[1].type_id if declared else 0
                    externs[name] = ExternSpec(name, source, mention.is_weak, mention.is_called, type_id)
            bindings.append(Binding(name, mention.is_weak, kind, definition, tuple(mention.uses)))
        for binding in bindings:
            if binding.kind is BindingKind.OPEN:
                self._report_open(binding)
        for name in self._ksyms:
            if name not in self._mentions:
                self._report_unused(name)
        return externs, tuple(bindings)

    def _source(self, name: str, mention: _Mention) -> ExternSource | None:
        """Where to look for a name that no object defines; None for a strong one that nobody declares."""
        declared = self.declaration(name)
        if declared and not self.is_configuration(name):
            return declared[1].source
        if name in self._ksyms:
            return ExternSource.KERNEL_NAME
        return ExternSource.NOWHERE if mention.is_weak and not declared else None

    def is_configuration(self, name: str) -> bool:
        """Whether a name is declared to be of the kernel's configuration."""
        declared = self.declaration(name)
        return declared is not None and declared[1].section == KCONFIG_SECTION

    def strong_names(self) -> set[str]:
        """The names used so far that must not be missing."""
        return {name for name, mention in self._mentions.items() if not mention.is_weak}

    def declaration(self, name: str) -> tuple[ObjectFile, ExternDeclaration] | None:
        """The first object that declares a name to be the kernel's, and how; None if none does."""
        if self._declarations is None:
            self._declarations = {}
            for obj, types in self._types.items():
                for declared, how in declared_externs(types.btf).items():
                    self._declarations.setdefault(declared, (obj, how))
        return self._declarations.get(name)

    def _report_open(self, binding: Binding) -> None:
        name = binding.name
        first, *others = binding.uses
        notes = [f"also used at {use}" for use in others[: _MAX_PLACES - 1]]
        if len(others) >= _MAX_PLACES:
            notes.append(f"and at {len(others) - _MAX_PLACES + 1} more places")
        if helper := HELPERS.get(name):
            notes.insert(0, f"it is a helper, which is called by its number: call {helper.number}")
        elif self.is_configuration(name):
            notes.insert(0, "it is called, but declared to be an option of the kernel's configuration (__kconfig)")
        else:
            notes.insert(0, _LINK_OR_BIND)
            notes.append(
                f"if it is the kernel's, say so: bpf-load --ksym {name} ..., or in C declare it with __ksym"
            )
        if hidden := self._hidden.get(name):
            notes.insert(0, f"{hidden.place()} defines it, but hidden from other objects")
        elif near := close_matches(name, self._definitions):
            notes.insert(0, f"did you mean '{near[0]}', defined at {self._definitions[near[0]][0].place()}?")
        self._diagnostics.error(f"undefined symbol: {name}", first, tuple(notes))

    def _report_unused(self, name: str) -> None:
        open_names = [known for known, mention in self._mentions.items() if not mention.definition]
        near = close_matches(name, open_names)
        note = f"did you mean '{near[0]}'?" if near else f"open are: {', '.join(open_names) or 'none'}"
        message = f"'{name}' is asked for from the kernel, but it is not used, or not open"
        self._diagnostics.error(message, self._objects[0].name, (note,))


def _is_own(symbol: Symbol) -> bool:
    """Whether a symbol is nobody else's business: LLVM numbers the tables of jumps in every object anew."""
    return symbol.st_bind is SymbolBinding.LOCAL or symbol.section.name == JUMP_TABLES_SECTION


_KINDS = {None: BindingKind.OPEN, ExternSource.NOWHERE: BindingKind.NOTHING}
