"""Values of structs, unions and enumerations as Python sees them.

A Record is immutable and hashable, as keys of dictionaries have to be; to change a value in a map, write the whole
of it (`map[key] = map[key]._replace(count=5)`). Bytes to values and back is `bpfas.btf.codecs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, SupportsIndex, overload


class Record(tuple[Any, ...]):
    """A value of a struct: its members by name (`event.pid`, `event["pid"]`) and by place, like a named tuple.

    Members of anonymous structs and unions inside are members of the struct, as in C. A Record equals a
    dictionary of the same members. Each struct has a class of its own; `_fields` are the members by place, where
    an anonymous union counts as one.
    """

    __slots__ = ()

    _fields: ClassVar[tuple[str, ...]] = ()
    _in_unions: ClassVar[dict[str, int]] = {}
    """The members of anonymous unions, and where in the tuple the union is."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __repr__(self) -> str:
        members = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({members})"

    @overload
    def __getitem__(self, key: str) -> Any: ...
    @overload
    def __getitem__(self, key: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, key: str | SupportsIndex | slice) -> Any:
        if not isinstance(key, str):
            return tuple.__getitem__(self, key)
        if key in self._in_unions:
            return tuple.__getitem__(self, self._in_unions[key])[key]
        if key in self._fields:
            return tuple.__getitem__(self, self._fields.index(key))
        raise KeyError(key)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return self._asdict() == other
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return tuple.__hash__(self)

    def _asdict(self) -> dict[str, Any]:
        """All members by name, those of anonymous unions among them."""
        members: dict[str, Any] = {}
        for name, value in zip(self._fields, self, strict=True):
            if name:
                members[name] = value
            else:
                members.update(value if isinstance(value, Mapping) else value._asdict())
        return members

    def _replace(self, **changes: Any) -> Self:
        """The same value with some members changed, to be written into a map."""
        values = list(self)
        for name, value in changes.items():
            if name in self._in_unions:
                values[self._in_unions[name]] = {name: value}
            elif name in self._fields:
                values[self._fields.index(name)] = value
            else:
                raise ValueError(f"{type(self).__name__} has no member '{name}'")
        return type(self)(values)


def record_class(name: str, fields: Iterable[str], unions: Mapping[int, Iterable[str]]) -> type[Record]:
    """The class of a struct's values. A field without a name is an anonymous union, whose members `unions` has."""
    fields = tuple(fields)
    in_unions = {member: place for place, members in unions.items() for member in members}
    body: dict[str, Any] = {"__slots__": (), "_fields": fields, "_in_unions": in_unions}
    for place, field in enumerate(fields):
        if field and not _is_reserved(field):
            body[field] = property(itemgetter(place))
    for member, place in in_unions.items():
        if not _is_reserved(member):
            body[member] = property(_member_of_union(place, member))
    # A name need not be text: it is what stands in the file.
    return type(name.encode(errors="replace").decode(), (Record,), body)


def _member_of_union(place: int, member: str) -> Any:
    return lambda record: tuple.__getitem__(record, place)[member]


def _is_reserved(name: str) -> bool:
    """Whether a member is to be had by subscription alone, because Python or a Record needs the name."""
    return name.startswith("__") or name in ("_fields", "_in_unions", "_asdict", "_replace")


class UnionType(Protocol):
    """What a UnionValue needs to know of its type."""

    name: str

    def names(self) -> Iterable[str]:
        """All members, those of anonymous structs and unions inside among them."""
        ...

    def member(self, data: bytes, name: str) -> Any:
        """The member `name` of the union with these bytes. Raises KeyError."""
        ...


class UnionValue:
    """A value of a union: its bytes, and what each member makes of them (`value.word`, `value["word"]`)."""

    __slots__ = ("_data", "_type")

    def __init__(self, type_: UnionType, data: bytes) -> None:
        self._type = type_
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data

    def __repr__(self) -> str:
        members = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{self._type.name or 'union'}({members})"

    def __getitem__(self, name: str) -> Any:
        return self._type.member(self._data, name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._type.member(self._data, name)
        except KeyError:
            raise AttributeError(f"{self._type.name or 'the union'} has no member '{name}'") from None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, UnionValue):
            return self._data == other._data
        if isinstance(other, Mapping):
            members = self._asdict()
            return bool(other) and all(name in members and members[name] == other[name] for name in other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._data)

    def _asdict(self) -> dict[str, Any]:
        """What each member makes of the bytes."""
        return {name: self._type.member(self._data, name) for name in self._type.names()}


class Enumerated(int):
    """A value of an enumeration: a number that knows its `name`, which is empty where no enumerator has it."""

    name: str

    def __new__(cls, number: int, name: str) -> Self:
        """The number with its name."""
        value = super().__new__(cls, number)
        value.name = name
        return value

    def __repr__(self) -> str:
        return f"<{self.name}: {int(self)}>" if self.name else str(int(self))

    def __str__(self) -> str:
        return self.name or str(int(self))


def plain(value: Any) -> Any:
    """A value as JSON has it: records as dictionaries, enumerations by name, bytes in hexadecimal."""
    if isinstance(value, Enumerated):
        return value.name or int(value)
    if isinstance(value, Record | UnionValue):
        return {name: plain(member) for name, member in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return plain(bytes(value)) if hasattr(value, "_b_base_") else str(value)
