"""The types of all objects of a link as one graph, without anything of how they stand in files.

Node 0 is void; the types of the first object follow in their order, then those of the next.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from bpfas.btf.kinds import KINDS, MAX_VLEN, Kind, Word, kind_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from bpfas.btf.btf import Btf

GONE = -1
"""The target of a type that is replaced by none."""

UNIQUE = frozenset((Kind.VAR, Kind.DATASEC))
"""The kinds whose types are something by themselves, and never equal to others."""

_TAGS = {Kind.STRUCT: 0, Kind.UNION: 1, Kind.ENUM: 2, Kind.ENUM64: 2}
"""What a forward declaration can declare: its kflag, or for one without enumerators, an enumeration."""


class Graph:
    """Nodes by number, and what is told of them.

    `records[node]` is what must be equal of a type without its references, `references[node]` has those. `tags`
    gives named structs, unions, enumerations and forward declarations what such a declaration and what it declares
    have in common. `forwards` are the forward declarations among them, with the number of the object each is of.
    """

    __slots__ = ("forwards", "records", "references", "tags")

    def __init__(
        self,
        records: Sequence[Hashable],
        references: Sequence[Sequence[int]],
        tags: dict[int, Hashable],
        forwards: dict[int, int],
    ) -> None:
        self.records = records
        self.references = references
        self.tags = tags
        self.forwards = forwards

    def with_resolved(self, resolved: dict[int, int]) -> Graph:
        """The graph in which forward declarations have become the full types that `resolved` gives for them."""
        if not resolved:
            return self
        get = resolved.get
        return Graph(
            [node if node in resolved else record for node, record in enumerate(self.records)],
            [tuple([get(target, target) for target in targets]) for targets in self.references],
            {node: tag for node, tag in self.tags.items() if node not in resolved},
            {node: unit for node, unit in self.forwards.items() if node not in resolved},
        )


def graph_of(
    units: Sequence[Btf], first: Sequence[int], targets: Mapping[int, int]
) -> tuple[Graph, list[list[int]], list[bytes]]:
    """The types of all units, those of unit `i` from node `first[i]` + 1 on, without what `targets` replaces.

    Beside the graph, it gives by node the words of a type, where references are 0 and names are numbers of texts,
    and those texts; a type that is replaced has no words. No reference may lead to a type that is gone.
    """
    numbers: dict[bytes, int] = {b"": 0}
    records: list[Hashable] = [0]
    rows: list[list[int]] = [[]]
    references: list[tuple[int, ...]] = [()]
    tags: dict[int, Hashable] = {}
    forwards: dict[int, int] = {}
    for unit, btf in enumerate(units):
        base = first[unit]
        number_at: dict[int, int] = {}
        find, strings = btf.strings.find, btf.strings
        starts, words = btf.starts, btf.words
        for node in range(base + 1, base + len(btf) + 1):
            start = starts[node - base]
            if node in targets:
                records.append(node)
                rows.append([])
                references.append(())
                continue
            row = words[start : starts[node - base + 1]].tolist()
            info = row[1]
            kind, vlen = kind_of(info), info & MAX_VLEN
            names, types = positions(kind, vlen)
            for position in names:
                offset = row[position]
                number = number_at.get(offset)
                if number is None:
                    text = strings[offset : find(0, offset)]
                    number = number_at[offset] = numbers.setdefault(text, len(numbers))
                row[position] = number
            led_to = [row[position] and row[position] + base for position in types]
            references.append(tuple([targets.get(target, target) for target in led_to]))
            for position in types:
                row[position] = 0
            rows.append(row)
            records.append(node if kind in UNIQUE else tuple(row))
            if row[0] and kind in _TAGS:
                tags[node] = (_TAGS[Kind(kind)], row[0])
                if not vlen and _TAGS[Kind(kind)] == _TAGS[Kind.ENUM]:
                    forwards[node] = unit
            elif kind == Kind.FWD:
                tags[node] = (info >> 31, row[0])
                forwards[node] = unit
    return Graph(records, references, tags, forwards), rows, list(numbers)


@lru_cache(maxsize=1024)
def positions(kind: int, vlen: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which words of a record are string offsets, and which are type ids."""
    layout = KINDS[Kind(kind)]
    roles = (Word.STRING, Word.VALUE, layout.third, *layout.fixed)
    if layout.entry:
        roles += layout.entry * vlen
    names = tuple([position for position, role in enumerate(roles) if role is Word.STRING])
    types = tuple([position for position, role in enumerate(roles) if role is Word.TYPE])
    return names, types
