"""The types of an object's values as the text of Python: expressions and definitions of `parts/values.py`.

Characters are text, bytes are bytes, other arrays are arrays; members of nameless structs and unions are members
of what they are in. What BTF says nothing of is a number if it has the size of one, else bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import BPF_POINTER_SIZE, size_of
from bpfas.loader.gen.python.names import class_name, identifier, unique
from bpfas.loader.gen.python.text import Call, Expression, Keyword, Table, assigned, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.btf.btf import Btf, Member
    from bpfas.loader.spec import Variable

_NUMBER_SIZES = (1, 2, 4, 8)
_FLOAT_SIZES = (2, 4, 8)


class ValueTypes:
    """Types of one object; `definitions` are the lines that define structs and enums, in order.

    Names that are `taken` are not used for them.
    """

    def __init__(self, types: Btf | None, taken: set[str]) -> None:
        self.definitions: list[str] = []
        self._types = types
        self._taken = taken
        self._made: dict[int, str] = {}

    def plain(self, size: int) -> str:
        """What has no type."""
        return f"Integer({size})" if size in _NUMBER_SIZES else f"Bytes({size})"

    def value(self, type_id: int, size: int) -> str:
        """A value of `size` bytes of the type, 0 for none."""
        if not type_id or self._types is None or size_of(self._types, type_id) != size:
            return self.plain(size)
        return self._of(type_id)

    def section(self, name: str, size: int, variables: Iterable[Variable], words: str) -> str:
        """The name of a struct of variables, which is defined."""
        fields = [(each.name, each.offset, self.value(each.type_id, each.size)) for each in variables]
        return self._define(name, words, size, fields)

    def struct(self, type_id: int) -> str:
        """A struct, also one whose size is not that of its values."""
        return self._of(type_id)

    def _of(self, type_id: int) -> str:
        types = self._types
        assert types is not None
        name = types.name(types.without_qualifiers(type_id))
        while types.kind(type_id) in (Kind.VAR, Kind.DECL_TAG) or types.without_qualifiers(type_id) != type_id:
            name = name or types.name(type_id) * (types.kind(type_id) is Kind.TYPEDEF)
            following = types.without_qualifiers(type_id)
            type_id = following if following != type_id else types.size_or_type(type_id)
        if type_id not in self._made:
            self._made[type_id] = f"Bytes({size_of(types, type_id) or 0})"  # for types inside of themselves
            self._made[type_id] = self._make(type_id, name)
        return self._made[type_id]

    def _make(self, type_id: int, name: str) -> str:
        types = self._types
        assert types is not None
        size = size_of(types, type_id)
        match types.kind(type_id):
            case Kind.INT:
                return self._int(type_id)
            case Kind.PTR:
                return f"Integer({BPF_POINTER_SIZE})"
            case Kind.FLOAT if size in _FLOAT_SIZES:
                return f"Floating({size})"
            case Kind.ENUM | Kind.ENUM64:
                return self._enum(type_id, name)
            case Kind.ARRAY:
                return self._array(type_id)
            case Kind.STRUCT | Kind.UNION:
                words = declaration(types, type_id) if types.name(type_id) else name or "struct"
                return self._define(name or "struct", words, size or 0, self._fields(type_id, 0))
        return f"Bytes({size or 0})"

    def _int(self, type_id: int) -> str:
        types = self._types
        assert types is not None
        encoding, size = types.encoding(type_id), types.size_or_type(type_id)
        if encoding.is_bool:
            return f"Boolean({size})"
        if encoding.bit_offset or encoding.bits != 8 * size:
            return f"Bits({encoding.bit_offset}, {encoding.bits}, {encoding.is_signed})"
        return f"Integer({size}, True)" if encoding.is_signed else f"Integer({size})"

    def _enum(self, type_id: int, name: str) -> str:
        types = self._types
        assert types is not None
        values = dict(types.enumerators(type_id))
        size, is_signed = types.size_or_type(type_id), types.kflag(type_id)
        if not values:
            return f"Integer({size}, {is_signed})"
        defined = unique(class_name(name or "enum"), self._taken)
        names = Table(tuple((quoted(each), str(number)) for each, number in values.items()))
        self.definitions.append(assigned(defined, Call("Integer", (str(size), str(is_signed), names))))
        return defined

    def _array(self, type_id: int) -> str:
        types = self._types
        assert types is not None
        array = types.array(type_id)
        element = types.without_qualifiers(array.element)
        if types.kind(element) is Kind.INT and types.size_or_type(element) == 1:
            encoding = types.encoding(element)
            if not encoding.is_bool:
                is_text = encoding.is_char or types.name(element) == "char"
                return f"{'Text' if is_text else 'Bytes'}({array.nelems})"
        return f"Array({self._of(array.element)}, {array.nelems})"

    def _fields(self, type_id: int, start: int) -> list[tuple[str, int, str]]:
        """Names, offsets and types of members, whose owner begins at the bit `start`."""
        types = self._types
        assert types is not None
        fields = []
        for member in types.members(type_id):
            inner = types.without_qualifiers(member.type_id)
            if member.name:
                fields.append(self._field(member, start + member.bit_offset))
            elif types.kind(inner) in (Kind.STRUCT, Kind.UNION):
                fields += self._fields(inner, start + member.bit_offset)
        return fields

    def _field(self, member: Member, at: int) -> tuple[str, int, str]:
        types = self._types
        assert types is not None
        inner = types.without_qualifiers(member.type_id)
        if not member.bit_size and at % 8 == 0:
            return member.name, at // 8, self._of(member.type_id)
        is_int = types.kind(inner) is Kind.INT
        is_signed = types.encoding(inner).is_signed if is_int else types.kflag(inner)
        bits = member.bit_size or 8 * (size_of(types, inner) or 0)
        return member.name, at // 8, f"Bits({at % 8}, {bits}, {is_signed})"

    def _define(self, name: str, words: str, size: int, fields: list[tuple[str, int, str]]) -> str:
        defined = unique(class_name(name), self._taken)
        items = Table(tuple((quoted(each), f"({offset}, {type_})") for each, offset, type_ in fields))
        arguments: tuple[Expression, ...] = (quoted(words), str(size), items)
        if attributes := _attributes([each for each, _, _ in fields]):
            names = Table(tuple((quoted(attribute), quoted(each)) for attribute, each in attributes.items()))
            arguments = (*arguments, Keyword("attributes", names))
        self.definitions.append(assigned(defined, Call("StructType", arguments)))
        return defined


def _attributes(names: list[str]) -> dict[str, str]:
    """The attributes of members that Python does not take by their own names."""
    taken = set(names)
    return {
        unique(attribute, taken): name for name in dict.fromkeys(names) if (attribute := identifier(name)) != name
    }
