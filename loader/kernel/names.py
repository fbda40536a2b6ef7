"""A kernel's types by name: the names in one text, which is faster to search than a dictionary is to make."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.core.flavours import SEPARATOR, stem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_BOUND = b"\0"
_SEPARATOR = SEPARATOR.encode()


class NameTable(NamedTuple):
    """Types with names. `text` has each name between zero bytes, in the order of `ids`."""

    ids: array[int]
    text: bytes

    @classmethod
    def of(cls, names: Iterable[tuple[int, bytes]]) -> NameTable:
        """The table of these types; those without a name are left out."""
        named = [(type_id, name) for type_id, name in names if name]
        ids = array("I", [type_id for type_id, _ in named])
        return cls(ids, b"".join([_BOUND, *(name + _BOUND for _, name in named)]))

    def called(self, name: str) -> list[int]:
        """The ids of the types with a name."""
        return self._found(_bytes(name) + _BOUND, lambda _: True)

    def with_stem(self, stem: str) -> list[int]:
        """The ids of the types that have a name, or that name with a flavour."""
        flavoured = self._found(_bytes(stem) + _SEPARATOR, lambda name: stem_of(name) == stem)
        return sorted(self.called(stem) + flavoured) if stem_of(stem) == stem else []

    def names(self) -> list[str]:
        """All names, in the order of `ids`."""
        return self.text.decode(errors="surrogateescape").split("\0")[1:-1]

    def _found(self, begin: bytes, accepted: Callable[[str], bool]) -> list[int]:
        """The ids of names that begin so; `begin` may contain a name's end."""
        found = []
        text, number, counted = self.text, 0, 0
        at = text.find(_BOUND + begin)
        while at >= 0:
            number += text.count(_BOUND, counted, at)
            counted = at
            if accepted(text[at + 1 : text.index(_BOUND, at + 1)].decode(errors="surrogateescape")):
                found.append(self.ids[number])
            at = text.find(_BOUND + begin, at + 1)
        return found


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
