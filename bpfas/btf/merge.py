"""The types of several objects to those of one, and what is added to them before they are written.

Which types are equal is the part of `bpfas.btf.dedup`.
"""

from __future__ import annotations

from array import array
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from bpfas.btf.checks import described
from bpfas.btf.dedup import representatives
from bpfas.btf.graph import GONE, graph_of, positions
from bpfas.btf.kinds import MAX_VLEN, Kind, Linkage, info_word, kind_of
from bpfas.btf.reader import MAX_ERRORS
from bpfas.btf.writer import write_btf
from bpfas.diag import BpfasError, Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.elf.constants import ByteOrder


COLUMN_WORDS = 30_000
"""From so many words of types on, importing numpy pays, or reading them has imported it."""


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
        if kind_of(self.words[start + 1]) == Kind.FUNC:
            self.words[start + 1] = info_word(Kind.FUNC, linkage)
        else:
            self.words[start + 3] = linkage

    def write(self, order: ByteOrder) -> bytes:
        """The contents of a section `.BTF`."""
        return write_btf(self.words, b"\0".join((*self._strings, b"")), order)

    def _add(self, name: str, info: int, third: int, words: Iterable[int] = ()) -> int:
        self.starts.append(len(self.words))
        self.words.extend((self.string(name), info, third, *words))
        return len(self.starts) - 1


def merge(units: Sequence[Btf], replaced: Sequence[Mapping[int, tuple[int, int] | None]]) -> Merged:
    """The types of all `units`, in their order, each once.

    `replaced[unit]` has the types of that unit that do not go into the output: references to such a type go to the
    (unit, type) given, or, where that is None, must not exist. A DECL_TAG of a type that is gone goes with it.
    VARs and DATASECs are never taken for equal. Raises BpfasError if a reference leads to a type that is gone.
    """
    first = [0, *accumulate(map(len, units))]
    targets = _targets(units, replaced, first)
    words = sum(len(btf.words) for btf in units)
    if words and words >= COLUMN_WORDS:
        merged = _merged_columns(units, first, targets)
        if merged:
            return merged
    if GONE in targets.values():
        _check_gone(units, first, targets)
    return _merged_types(units, first, targets)


def _merged_columns(units: Sequence[Btf], first: Sequence[int], targets: Mapping[int, int]) -> Merged | None:
    """The types, all at once; None if they have to be looked at one by one."""
    from bpfas.btf.columns.merge import merged_columns  # its import takes longer than small inputs

    output = merged_columns(units, first, targets)
    if output is None:
        return None
    ids = output.ids.astype("uint32")
    return Merged(
        array("I", output.words.tobytes()),
        array("I", output.starts.astype("uint32").tobytes()),
        output.strings,
        [array("I", bytes(4) + ids[begin + 1 : end + 1].tobytes()) for begin, end in pairwise(first)],
    )


def _targets(
    units: Sequence[Btf], replaced: Sequence[Mapping[int, tuple[int, int] | None]], first: Sequence[int]
) -> dict[int, int]:
    """By node that does not go into the output, the one that does instead, or GONE."""
    direct = {
        first[unit] + type_id: GONE if target is None else first[target[0]] + target[1]
        for unit, gone in enumerate(replaced)
        for type_id, target in gone.items()
    }
    targets = {}
    for node in direct:
        seen = {node}
        target = direct[node]
        while target in direct and target not in seen:
            seen.add(target)
            target = direct[target]
        if target in direct:
            raise ValueError(f"node {node} is replaced by itself")
        targets[node] = target
    if GONE in targets.values():
        for unit, btf in enumerate(units):
            for type_id in btf.ids_of_kind(Kind.DECL_TAG):
                if targets.get(first[unit] + btf.size_or_type(type_id)) == GONE:
                    targets.setdefault(first[unit] + type_id, GONE)
    return targets


def _check_gone(units: Sequence[Btf], first: Sequence[int], targets: Mapping[int, int]) -> None:
    """Raise BpfasError if a type that goes into the output refers to one that goes nowhere."""
    diagnostics = Diagnostics()
    for btf, base in zip(units, first, strict=False):
        gone = {type_id for type_id in range(1, len(btf) + 1) if targets.get(base + type_id) == GONE}
        if not gone:
            continue
        for type_id in range(1, len(btf) + 1):
            start = btf.starts[type_id]
            _, types = positions(btf.kinds[type_id], btf.vlen(type_id))
            if base + type_id not in targets:
                for target in gone.intersection([btf.words[start + position] for position in types]):
                    diagnostics.error(
                        f"{described(btf, type_id)} refers to {described(btf, target)}, which is left out",
                        btf.place,
                    )
    if diagnostics.has_errors:
        raise BpfasError(diagnostics.items[:MAX_ERRORS])


def _merged_types(units: Sequence[Btf], first: Sequence[int], targets: Mapping[int, int]) -> Merged:
    """The types, one by one."""
    graph, rows, texts = graph_of(units, first, targets)
    found = representatives(graph)
    new_ids = [0] * len(found)
    next_id = 1
    for node, representative in enumerate(found):
        if node and representative == node and node not in targets:
            new_ids[node] = next_id
            next_id += 1
    words, starts = array("I"), array("I", (0,))
    offsets: dict[int, int] = {0: 0}
    end = 1
    for node, new_id in enumerate(new_ids):
        if not new_id:
            continue
        row = rows[node]
        names, types = positions(kind_of(row[1]), row[1] & MAX_VLEN)
        for position in names:
            number = row[position]
            offset = offsets.setdefault(number, end)
            if offset == end:
                end += len(texts[number]) + 1
            row[position] = offset
        for position, target in zip(types, graph.references[node], strict=True):
            row[position] = new_ids[found[target]]
        starts.append(len(words))
        words.extend(row)
    for node, target in targets.items():
        found[node] = 0 if target == GONE else found[target]
    ids = [
        array("I", (0, *[new_ids[found[node]] for node in range(base + 1, base + len(btf) + 1)]))
        for btf, base in zip(units, first, strict=False)
    ]
    return Merged(words, starts, {texts[number]: offset for number, offset in offsets.items()}, ids)
