"""The types of several objects to those of one, and what is added to them before they are written.

Which types are equal is the part of `bpfas.btf.dedup`.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING

from bpfas.btf.kinds import ENTRY_WORDS, FIXED_WORDS, KINDS, MAX_VLEN, Kind, Linkage, Word, info_word
from bpfas.btf.reader import HEADER_SIZE, MAGIC, VERSION
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.elf.constants import ByteOrder


class Merged:
    """The types of a link's output. `ids[unit][type_id]` is the id here of an input's type, 0 if it is gone."""

    def __init__(
        self, words: array[int], starts: array[int], strings: dict[bytes, int], ids: list[array[int]]
    ) -> None:
        self.words = words
        self.starts = starts
        self.ids = ids
        self._strings = strings
        self._strings_end = sum(len(text) + 1 for text in strings)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def string(self, text: str) -> int:
        """The offset of `text` in the strings, where it is put if it is not there."""
        encoded = text.encode(errors="surrogateescape")
        offset = self._strings.setdefault(encoded, self._strings_end)
        if offset == self._strings_end:
            self._strings_end += len(encoded) + 1
        return offset

    def add_int(self, name: str, size: int, *, is_signed: bool = False) -> int:
        """The id of a new INT of `size` bytes."""
        return self._add(name, info_word(Kind.INT), size, (int(is_signed) << 24 | 8 * size,))

    def add_pointer(self, target: int) -> int:
        """The id of a new PTR to type `target`."""
        return self._add("", info_word(Kind.PTR), target)

    def add_func_proto(self, returned: int, parameters: Iterable[tuple[str, int]]) -> int:
        """The id of a new FUNC_PROTO with these parameters, each a name and a type."""
        words = [word for name, type_id in parameters for word in (self.string(name), type_id)]
        return self._add("", info_word(Kind.FUNC_PROTO, len(words) // 2), returned, words)

    def add_func(self, name: str, prototype: int, linkage: Linkage) -> int:
        """The id of a new FUNC."""
        return self._add(name, info_word(Kind.FUNC, linkage), prototype)

    def add_var(self, name: str, type_id: int, linkage: Linkage) -> int:
        """The id of a new VAR."""
        return self._add(name, info_word(Kind.VAR), type_id, (linkage,))

    def add_datasec(self, name: str, size: int, entries: Sequence[tuple[int, int, int]]) -> int:
        """The id of a new DATASEC of `size` bytes; each entry is a VAR or FUNC, its offset and its size."""
        words = [word for entry in entries for word in entry]
        return self._add(name, info_word(Kind.DATASEC, len(entries)), size, words)

    def set_linkage(self, type_id: int, linkage: Linkage) -> None:
        """Change the linkage of a VAR or FUNC."""
        start = self.starts[type_id]
        if self.words[start + 1] >> 24 & 0x1F == Kind.FUNC:
            self.words[start + 1] = info_word(Kind.FUNC, linkage)
        else:
            self.words[start + 3] = linkage

    def write(self, order: ByteOrder) -> bytes:
        """The contents of a section `.BTF`."""
        words = self.words
        if order.name_for_int != sys.byteorder:
            words = words[:]
            words.byteswap()
        types = words.tobytes()
        strings = b"\0".join((*self._strings, b""))
        return (
            struct.pack(
                f"{order.value}HBBIIIII",
                MAGIC,
                VERSION,
                0,
                HEADER_SIZE,
                0,
                len(types),
                len(types),
                len(strings),
            )
            + types
            + strings
        )

    def _add(self, name: str, info: int, third: int, words: Iterable[int] = ()) -> int:
        self.starts.append(len(self.words))
        self.words.extend((self.string(name), info, third, *words))
        return len(self.starts) - 1


def merge(units: Sequence[Btf], replaced: Sequence[Mapping[int, tuple[int, int] | None]]) -> Merged:
    """The types of all `units`, in their order, each kind of type once.

    `replaced[unit]` has the types of that unit that do not go into the output: references to such a type go to the
    (unit, type) given, or, where that is None, must not exist. Raises BpfasError if one does.
    """
    starts, ids = array("I", (0,)), []
    next_id = 1
    for btf, gone in zip(units, replaced, strict=True):
        of_unit = array("I", bytes(4 * (len(btf) + 1)))
        for type_id in range(1, len(btf) + 1):
            if type_id not in gone:
                of_unit[type_id] = next_id
                next_id += 1
        ids.append(of_unit)
    for of_unit, gone in zip(ids, replaced, strict=True):
        for type_id, target in gone.items():
            while target is not None and target[1] in replaced[target[0]]:
                target = replaced[target[0]][target[1]]
            of_unit[type_id] = 0 if target is None else ids[target[0]][target[1]]
    words, strings = array("I"), {b"": 0}
    merged = Merged(words, starts, strings, ids)
    for unit, btf in enumerate(units):
        for type_id in range(1, len(btf) + 1):
            if type_id not in replaced[unit]:
                starts.append(len(words))
                words.extend(_mapped(btf, type_id, ids[unit], merged))
    return merged


def _mapped(btf: Btf, type_id: int, ids: array[int], merged: Merged) -> list[int]:
    start, kind = btf.starts[type_id], btf.kinds[type_id]
    words = list(
        btf.words[start : start + FIXED_WORDS[kind] + ENTRY_WORDS[kind] * (btf.words[start + 1] & MAX_VLEN)]
    )
    layout = KINDS[Kind(kind)]
    roles = (Word.STRING, Word.VALUE, layout.third, *layout.fixed)
    roles += layout.entry * ((len(words) - len(roles)) // len(layout.entry)) if layout.entry else ()
    for index, role in enumerate(roles):
        if role is Word.STRING:
            words[index] = merged.string(btf.string(words[index]))
        elif role is Word.TYPE and words[index]:
            target = words[index]
            words[index] = ids[target]
            if not words[index]:
                raise BpfasError.of(
                    f"type {type_id} ({btf.kind(type_id).name} {btf.name(type_id)}) refers to type {target} "
                    f"({btf.kind(target).name} {btf.name(target)}), which does not go into the output",
                    f"{btf.object_name}:(.BTF)",
                )
    return words
