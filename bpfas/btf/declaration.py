"""Types as C text, for messages.

What is shown is meant to be compared by people, not compiled: named structs, unions and enumerations are shown by
name, and what goes on without end, as types that somebody made up may, is cut with an ellipsis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.kinds import MODIFIERS, Kind, Linkage
from bpfas.section_names import MAPS_SECTION

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf, Member

_ELLIPSIS = "…"
_MAX_DEPTH = 40
_MAX_PARTS = 400
"""Types that one text goes through."""

_MAX_LISTED = 64
"""Members, parameters or enumerators of a type that are shown."""

_STORAGE = {Linkage.STATIC: "static ", Linkage.GLOBAL: "", Linkage.EXTERN: "extern "}
_QUALIFIERS = {Kind.CONST: "const", Kind.VOLATILE: "volatile", Kind.RESTRICT: "restrict"}
_KEYWORDS = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}


def declaration(btf: Btf, type_id: int, *, with_body: bool = False) -> str:
    """The C text of a VAR, a FUNC or a type, such as `extern int f(struct x *ctx, ...)`.

    With `with_body` the members of a struct, a union or an enumeration that it is (or is a variable of) are shown.
    The definition of a map, a variable of section `.maps`, is shown with the macros it is written with.
    """
    return _Text(btf).declaration(type_id, with_body=with_body)


class _Text:
    """The making of one text."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self._parts = 0

    def declaration(self, type_id: int, *, with_body: bool) -> str:
        btf = self.btf
        name = btf.name(type_id)
        match btf.kind(type_id):
            case Kind.VAR:
                storage, target = _STORAGE[btf.linkage(type_id)], btf.size_or_type(type_id)
                if self._is_map(type_id):
                    return f'{storage}{self._map(target)} {name} SEC("{MAPS_SECTION}")'
                return storage + self._declared(target, name, with_body=with_body)
            case Kind.FUNC:
                storage = _STORAGE[Linkage(btf.vlen(type_id))]
                return storage + self._declared(btf.size_or_type(type_id), name)
            case Kind.TYPEDEF:
                return f"typedef {self._declared(btf.size_or_type(type_id), name, with_body=with_body)}"
            case Kind.DATASEC:
                return f'SEC("{name}")'
            case Kind.DECL_TAG:
                return f'__attribute__((btf_decl_tag("{name}")))'
        return self._declared(type_id, "", with_body=with_body)

    def _declared(self, type_id: int, declarator: str, depth: int = 0, *, with_body: bool = False) -> str:
        """`declarator`, which is of a type, with all of the type about it."""
        btf = self.btf
        self._parts += 1
        if depth > _MAX_DEPTH or self._parts > _MAX_PARTS:
            return _spaced(_ELLIPSIS, declarator)
        kind = btf.kind(type_id)
        target = btf.size_or_type(type_id) if type_id else 0
        match kind:
            case Kind.PTR:
                inner = f"*{declarator}"
                if btf.kind(self._unqualified(target)) in (Kind.ARRAY, Kind.FUNC_PROTO):
                    inner = f"({inner})"
                return self._declared(target, inner, depth + 1)
            case Kind.ARRAY:
                array = btf.array(type_id)
                return self._declared(array.element, f"{declarator}[{array.nelems or ''}]", depth + 1)
            case Kind.FUNC_PROTO:
                return self._declared(target, f"{declarator}({self._parameters(type_id, depth)})", depth + 1)
            case Kind.CONST | Kind.VOLATILE | Kind.RESTRICT:
                if btf.kind(self._unqualified(target)) is Kind.PTR:
                    return self._declared(target, _spaced(_QUALIFIERS[kind], declarator), depth + 1)
                return f"{_QUALIFIERS[kind]} {self._declared(target, declarator, depth + 1, with_body=with_body)}"
            case Kind.TYPE_TAG:
                tag = f'__attribute__((btf_type_tag("{btf.name(type_id)}")))'
                return self._declared(target, _spaced(tag, declarator), depth + 1)
        return _spaced(self._specifier(type_id, depth, with_body=with_body), declarator)

    def _specifier(self, type_id: int, depth: int, *, with_body: bool) -> str:
        """A type that has a name of its own, or a body."""
        btf = self.btf
        kind, name = btf.kind(type_id), btf.name(type_id)
        if kind is Kind.VOID:
            return "void"
        if kind is Kind.FWD:
            return f"{'union' if btf.kflag(type_id) else 'struct'} {name}"
        if kind not in _KEYWORDS:
            return name
        head = _spaced(_KEYWORDS[kind], name)
        if name and not (with_body and btf.vlen(type_id)):
            return head
        if kind in (Kind.ENUM, Kind.ENUM64):
            parts = [f"{enumerator.name} = {enumerator.value}" for enumerator in btf.enumerators(type_id)]
            return f"{head} {{ {', '.join(_cut(parts))} }}"
        members = _cut([self._member(member, depth) for member in btf.members(type_id)[: _MAX_LISTED + 1]])
        return f"{head} {{ {''.join(f'{member}; ' for member in members)}}}"

    def _member(self, member: Member, depth: int) -> str:
        text = self._declared(member.type_id, member.name, depth + 1)
        return f"{text} : {member.bit_size}" if member.bit_size else text

    def _parameters(self, type_id: int, depth: int) -> str:
        texts = [
            self._declared(parameter.type_id, parameter.name, depth + 1)
            if parameter.type_id or parameter.name
            else "..."
            for parameter in self.btf.parameters(type_id)[: _MAX_LISTED + 1]
        ]
        return ", ".join(_cut(texts)) or "void"

    def _unqualified(self, type_id: int) -> int:
        while self.btf.kinds[type_id] in MODIFIERS:
            type_id = self.btf.size_or_type(type_id)
        return type_id

    def _is_map(self, variable: int) -> bool:
        btf = self.btf
        return (
            any(
                btf.name(section) == MAPS_SECTION
                and any(entry.type_id == variable for entry in btf.entries(section))
                for section in btf.ids_of_kind(Kind.DATASEC)
            )
            and btf.kinds[self._unqualified(btf.size_or_type(variable))] == Kind.STRUCT
        )

    def _map(self, type_id: int) -> str:
        """The struct of a map's definition, whose members are pointers to what they say."""
        type_id = self._unqualified(type_id)
        members = [self._attribute(member) for member in self.btf.members(type_id)]
        head = _spaced("struct", self.btf.name(type_id))
        return f"{head} {{ {''.join(f'{member}; ' for member in members)}}}"

    def _attribute(self, member: Member) -> str:
        btf = self.btf
        kind = btf.kind(member.type_id)
        if kind is Kind.PTR:
            target = btf.size_or_type(member.type_id)
            if btf.kind(target) is Kind.ARRAY:
                return f"__uint({member.name}, {btf.array(target).nelems})"
            return f"__type({member.name}, {self._declared(target, '')})"
        if kind is Kind.ARRAY and btf.kind(btf.array(member.type_id).element) is Kind.PTR:
            element = btf.size_or_type(btf.array(member.type_id).element)
            return f"__array({member.name}, {self._declared(element, '')})"
        return self._member(member, 0)


def _cut(parts: list[str]) -> list[str]:
    return parts if len(parts) <= _MAX_LISTED else [*parts[:_MAX_LISTED], _ELLIPSIS]


def _spaced(left: str, right: str) -> str:
    return f"{left} {right}" if left and right else left or right
