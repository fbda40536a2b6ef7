"""Changing the types of one object: records replaced, records and strings added, while all ids stay.

What is written of the records is the caller's to get right; whoever wants to be sure reads the result again.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from bpfas.btf.btf import Btf
from bpfas.btf.kinds import HEADER_WORDS, Kind, Linkage, info_word, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class BtfEditor:
    """The types of `btf` with changes. `finish` gives them; nothing is done to `btf`."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._changed: dict[int, array[int]] = {}
        self._added: list[array[int]] = []
        self._strings = bytearray(btf.strings)
        self._offsets: dict[str, int] = {"": 0}

    def string(self, text: str) -> int:
        """The offset of `text`, which is added to the strings."""
        offset = self._offsets.setdefault(text, len(self._strings))
        if offset == len(self._strings):
            self._strings += text.encode(errors="surrogateescape") + b"\0"
        return offset

    def record(self, type_id: int) -> array[int]:
        """The words of a type, to be changed by the caller."""
        btf = self._btf
        if type_id > len(btf):
            return self._added[type_id - len(btf) - 1]
        if type_id not in self._changed:
            self._changed[type_id] = btf.words[btf.starts[type_id] : btf.starts[type_id + 1]]
        return self._changed[type_id]

    def replace(self, type_id: int, words: Iterable[int]) -> None:
        """Make a type what `words` say."""
        self._changed[type_id] = array("I", words)

    def add(self, words: Iterable[int]) -> int:
        """The id of a new type."""
        self._added.append(array("I", words))
        return len(self._btf) + len(self._added)

    def add_int(self, name: str, size: int, *, is_signed: bool = False) -> int:
        """The id of a new INT of `size` bytes."""
        return self.add((self.string(name), info_word(Kind.INT), size, is_signed << 24 | 8 * size))

    def add_pointer(self, target: int) -> int:
        """The id of a new PTR to type `target`."""
        return self.add((0, info_word(Kind.PTR), target))

    def add_var(self, name: str, type_id: int, linkage: Linkage) -> int:
        """The id of a new VAR."""
        return self.add((self.string(name), info_word(Kind.VAR), type_id, linkage))

    def set_linkage(self, type_id: int, linkage: Linkage) -> None:
        """Change the linkage of a VAR or FUNC."""
        words = self.record(type_id)
        if kind_of(words[1]) == Kind.FUNC:
            words[1] = info_word(Kind.FUNC, linkage)
        else:
            words[HEADER_WORDS] = linkage

    def set_datasec(self, type_id: int, size: int, entries: Sequence[tuple[int, int, int]]) -> None:
        """Change size and entries (type, offset, size in bytes) of a DATASEC."""
        words = (word for entry in entries for word in entry)
        name = self._btf.words[self._btf.starts[type_id]]
        self.replace(type_id, (name, info_word(Kind.DATASEC, len(entries)), size, *words))

    def finish(self) -> Btf:
        """The types with all changes so far; what was given if there are none."""
        btf = self._btf
        if not self._changed and not self._added and len(self._strings) == len(btf.strings):
            return btf
        kinds = bytearray(btf.kinds)
        words, starts, end = array("I"), array("I"), 0
        for type_id in sorted(self._changed):
            _append_range(btf, end, type_id, words, starts)
            starts.append(len(words))
            words += self._changed[type_id]
            kinds[type_id] = kind_of(self._changed[type_id][1])
            end = type_id + 1
        _append_range(btf, end, len(btf) + 1, words, starts)
        for record in self._added:
            starts.append(len(words))
            words += record
            kinds.append(kind_of(record[1]))
        starts.append(len(words))
        return Btf(btf.object_name, btf.order, words, starts, bytes(kinds), bytes(self._strings), btf.types_at)


def _append_range(btf: Btf, first: int, end: int, words: array[int], starts: array[int]) -> None:
    """Append the types `first` to `end` (excluded) as they are."""
    if first == end:
        return
    shift = len(words) - btf.starts[first]
    words += btf.words[btf.starts[first] : btf.starts[end]]
    range_starts = btf.starts[first:end]
    starts.extend([start + shift for start in range_starts] if shift else range_starts)
