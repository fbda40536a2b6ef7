"""Types of BTF as C text that compiles: how bpftool declares the variables of data sections.

Named structs, unions, enumerations and typedefs are written by name, and whoever includes the text defines them;
those without a name with their bodies. What has a name that C does not take counts as having none.
Source: the declarations that bpftool and libbpf's btf_dump write.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

from bpfas.btf.kinds import MODIFIERS, Kind
from bpfas.btf.sizes import alignment_of, size_of
from bpfas.loader.gen.c.names import is_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.btf.btf import Btf, Member
    from bpfas.loader.gen.c.names import Words

_QUALIFIERS = {Kind.CONST: "const", Kind.VOLATILE: "volatile", Kind.RESTRICT: "__restrict"}
_KEYWORDS = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}
_INTEGER_SIZES = {
    ("char",): 1,
    ("int", "short"): 2,
    ("short",): 2,
    (): 4,
    ("int",): 4,
    ("int", "long"): 8,
    ("long",): 8,
    ("int", "long", "long"): 8,
    ("long", "long"): 8,
    ("__int128",): 16,
}
"""Sizes in bytes by the words in a type's name, sorted and without the sign."""
_SIGNS = ("signed", "unsigned")
_FLOATS = {4: "float", 8: "double", 16: "long double"}
_ENUM_MODES = {1: "byte", 2: "HI"}
_MAX_DEPTH = 24
"""Types within types that have no names; what goes deeper, as only made-up types do, is left out."""


class TypeText:
    """Declarations of the types of `btf`.

    `mentioned` are the structs and unions, with their keywords, that parameters of functions point to: declared
    before, they are the same ones in every such list.
    """

    def __init__(self, btf: Btf, words: Words) -> None:
        self.btf = btf
        self.mentioned: set[str] = set()
        self.words = words
        self._enumerators: Counter[str] = Counter()

    def enumerator(self, name: str) -> str:
        """A name for a constant of an enumeration without a name: all of them are in one scope, and so counted."""
        self._enumerators[name] += 1
        number = self._enumerators[name]
        return self.words.member(name if number == 1 else f"{name}___{number}", set())

    def declare(self, type_id: int, name: str, indent: int, *, keeps_qualifiers: bool = False) -> str | None:
        """`name` declared as of the type, lines after the first indented by at least `indent` tabs.

        Without const, volatile and restrict unless `keeps_qualifiers`. None for a type that cannot be written.
        """
        pads = (f"__pad{number}" for number in itertools.count())
        return _Declaration(self, indent, pads, keeps_qualifiers=keeps_qualifiers).text(type_id, name, 0)


class _Unwritable(Exception):
    """A type of which no variable can be declared."""


class _Declaration:
    """The making of one declaration."""

    def __init__(self, types: TypeText, indent: int, pads: Iterator[str], *, keeps_qualifiers: bool) -> None:
        self.types = types
        self.btf = types.btf
        self.indent = indent
        self.pads = pads
        """Names of members that fill, all different: those of a struct without a name are the outer one's."""
        self.keeps_qualifiers = keeps_qualifiers

    def text(self, type_id: int, name: str, depth: int) -> str | None:
        try:
            return self._declared(type_id, name, depth)
        except _Unwritable:
            return None

    def _declared(self, type_id: int, declarator: str, depth: int) -> str:
        """`declarator`, which is of a type, with all of the type about it."""
        btf = self.btf
        if depth > _MAX_DEPTH:
            raise _Unwritable
        kind = btf.kind(type_id)
        target = btf.size_or_type(type_id) if type_id else 0
        match kind:
            case Kind.PTR:
                return self._pointer(target, declarator, depth)
            case Kind.ARRAY:
                array = btf.array(type_id)
                return self._declared(array.element, f"{declarator}[{array.nelems}]", depth + 1)
            case Kind.FUNC_PROTO:
                return self._declared(target, f"{declarator}({self._parameters(type_id, depth)})", depth + 1)
            case Kind.CONST | Kind.VOLATILE | Kind.RESTRICT if self.keeps_qualifiers:
                if btf.kind(self._unqualified(target)) is Kind.PTR:
                    return self._declared(target, _spaced(_QUALIFIERS[kind], declarator), depth + 1)
                return f"{_QUALIFIERS[kind]} {self._declared(target, declarator, depth + 1)}"
            case _ if kind in MODIFIERS:
                return self._declared(target, declarator, depth + 1)
            case Kind.TYPEDEF if not is_identifier(btf.name(type_id)):
                return self._declared(target, declarator, depth + 1)
        return _spaced(self._specifier(type_id, depth), declarator)

    def _pointer(self, target: int, declarator: str, depth: int) -> str:
        inner = f"*{declarator}"
        pointed = self.btf.kind(self._unqualified(target))
        if pointed in (Kind.ARRAY, Kind.FUNC_PROTO):
            inner = f"({inner})"
        try:
            return self._declared(target, inner, depth + 1)
        except _Unwritable:
            # Its size does not depend on what it points to.
            return f"void *{declarator}"

    def _specifier(self, type_id: int, depth: int) -> str:
        """A type that has a name of its own, or a body."""
        btf = self.btf
        kind, name = btf.kind(type_id), btf.name(type_id)
        match kind:
            case Kind.VOID:
                return "void"
            case Kind.INT:
                return self._integer(type_id, name)
            case Kind.FLOAT:
                size = btf.size_or_type(type_id)
                if size not in _FLOATS:
                    raise _Unwritable
                return name if name in _FLOATS.values() else _FLOATS[size]
            case Kind.TYPEDEF:
                return name
            case Kind.FWD if is_identifier(name):
                return f"{'union' if btf.kflag(type_id) else 'struct'} {name}"
            case Kind.STRUCT | Kind.UNION | Kind.ENUM | Kind.ENUM64 if is_identifier(name):
                return f"{_KEYWORDS[kind]} {name}"
            case Kind.STRUCT | Kind.UNION:
                return self._compound(type_id, depth)
            case Kind.ENUM | Kind.ENUM64:
                return self._enumeration(type_id)
        raise _Unwritable

    def _integer(self, type_id: int, name: str) -> str:
        words = name.split()
        if words == ["_Bool"]:
            return self.types.words.boolean()
        size = self.btf.size_or_type(type_id)
        unsigned = tuple(sorted(word for word in words if word not in _SIGNS))
        if words and len(words) - len(unsigned) < 2 and _INTEGER_SIZES.get(unsigned) == size:
            return " ".join(words)
        is_signed = self.btf.encoding(type_id).is_signed
        if size == 16:
            return "__int128" if is_signed else "unsigned __int128"
        if size not in (1, 2, 4, 8):
            raise _Unwritable
        return f"__{'s' if is_signed else 'u'}{8 * size}"

    def _enumeration(self, type_id: int) -> str:
        tabs = "\t" * self.indent
        lines = []
        for enumerator in self.btf.enumerators(type_id):
            suffix = "" if -(1 << 31) <= enumerator.value < 1 << 32 else "LL" if enumerator.value < 0 else "ULL"
            name = self.types.enumerator(enumerator.name)
            lines.append(f"{tabs}\t{name} = {enumerator.value}{suffix},\n")
        if not lines:
            raise _Unwritable
        mode = _ENUM_MODES.get(self.btf.size_or_type(type_id))
        attribute = f" __attribute__((mode({mode})))" if mode else ""
        return f"enum {{\n{''.join(lines)}{tabs}}}{attribute}"

    def _compound(self, type_id: int, depth: int) -> str:
        """A struct or union with its members, at their places."""
        btf, tabs = self.btf, "\t" * self.indent
        size, alignment = btf.size_or_type(type_id), alignment_of(btf, type_id)
        if alignment is None or not size:
            raise _Unwritable
        is_struct = btf.kind(type_id) is Kind.STRUCT
        natural = max((alignment_of(btf, member.type_id) or 1 for member in btf.members(type_id)), default=1)
        is_packed = (alignment == 1 and natural > 1) or any(_straddles(btf, each) for each in btf.members(type_id))
        layout = _Layout(self.pads, is_packed=is_packed)
        taken: set[str] = set()
        lines: list[str] = []
        inner = _Declaration(self.types, self.indent + 1, self.pads, keeps_qualifiers=self.keeps_qualifiers)
        for member in btf.members(type_id):
            lines += layout.reach(btf, member) if is_struct else []
            name = self.types.words.member(member.name, taken) if member.name else ""
            width = f": {member.bit_size}" if member.bit_size else ""
            lines.append(f"{inner._declared(member.type_id, name, depth + 1)}{width}")
            layout.put(btf, member)
        end = size if is_packed else size - size % alignment
        lines += layout.fill(8 * end) if is_struct and layout.rounded(alignment) < 8 * size else []
        if not is_struct and layout.rounded(alignment) < 8 * size:
            lines.append(f"char {next(self.pads)}[{size}]")
        keyword = "struct" if is_struct else "union"
        aligned = f", aligned({alignment})" if alignment > 1 else ""
        attribute = f" __attribute__((packed{aligned}))" if is_packed else ""
        members = "".join(f"{tabs}\t{line};\n" for line in lines)
        return f"{keyword} {{\n{members}{tabs}}}{attribute}"

    def _parameters(self, type_id: int, depth: int) -> str:
        texts = []
        for parameter in self.btf.parameters(type_id):
            if not parameter.type_id:
                texts.append("...")
                continue
            self._mention(parameter.type_id)
            texts.append(self._declared(parameter.type_id, "", depth + 1))
        return ", ".join(texts) or "void"

    def _mention(self, type_id: int) -> None:
        btf = self.btf
        while btf.kind(type_id) is Kind.PTR or btf.kind(type_id) in MODIFIERS:
            type_id = btf.size_or_type(type_id)
        if btf.kind(type_id) in (Kind.STRUCT, Kind.UNION, Kind.FWD) and is_identifier(btf.name(type_id)):
            self.types.mentioned.add(self._specifier(type_id, 0))

    def _unqualified(self, type_id: int) -> int:
        while self.btf.kinds[type_id] in MODIFIERS:
            type_id = self.btf.size_or_type(type_id)
        return type_id


def _straddles(btf: Btf, member: Member) -> bool:
    """Whether a bit-field lies in two units of its type, as only those of packed structs do."""
    unit = 8 * (size_of(btf, member.type_id) or 1)
    last = member.bit_offset + member.bit_size - 1
    return bool(member.bit_size) and member.bit_offset // unit != last // unit


class _Layout:
    """How far a compiler comes with the members of a struct; offsets in bits."""

    def __init__(self, pads: Iterator[str], *, is_packed: bool) -> None:
        self.is_packed = is_packed
        self.pads = pads
        self.end = 0

    def reach(self, btf: Btf, member: Member) -> list[str]:
        """The declarations that bring the next member to its place, where the compiler would not put it there."""
        alignment = 1 if self.is_packed else alignment_of(btf, member.type_id) or 1
        if member.bit_size:
            unit = 8 * (size_of(btf, member.type_id) or 1)
            fits = self.is_packed or self.end // unit == (self.end + member.bit_size - 1) // unit
            natural = self.end if fits else -(-self.end // unit) * unit
        else:
            natural = -(-self.end // (8 * alignment)) * 8 * alignment
        return self.fill(member.bit_offset) if natural < member.bit_offset else []

    def put(self, btf: Btf, member: Member) -> None:
        """Go behind a member."""
        bits = member.bit_size or 8 * (size_of(btf, member.type_id) or 0)
        self.end = max(self.end, member.bit_offset + bits)

    def rounded(self, alignment: int) -> int:
        """The end of a struct that ends here."""
        return -(-self.end // (8 * alignment)) * 8 * alignment

    def fill(self, target: int) -> list[str]:
        """Declarations of nothing up to `target`."""
        lines = []
        bits = min(-self.end % 8, target - self.end)
        if bits:
            lines.append(f"char: {bits}")
        size = (target - self.end - bits) // 8
        if size:
            lines.append(f"char {next(self.pads)}[{size}]")
        if rest := target - self.end - bits - 8 * size:
            lines.append(f"char: {rest}")
        self.end = target
        return lines


def _spaced(left: str, right: str) -> str:
    return f"{left} {right}" if left and right else left or right
