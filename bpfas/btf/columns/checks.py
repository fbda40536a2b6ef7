"""The rules of `bpfas.btf.checks` on columns: not what is wrong, but which types may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bpfas.btf.checks import ENUM_SIZES, FLOAT_SIZES, INT_SIZES, NAMED, NOT_A_VALUE, REFERS_TO_ANY
from bpfas.btf.kinds import BY_VALUE, Kind, Linkage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfas.btf.columns.table import Bools, Indices, Table

_MAX_DOUBLINGS = 21
_MAX_DEPTH = 64
_STRUCTS = (Kind.STRUCT, Kind.UNION)
_WHOLE = np.uint32(0xFFFFFFFF)
"""The component of a DECL_TAG that is of none."""


def suspects(table: Table) -> Bools:
    """By node, whether a rule of `bpfas.btf.checks` may be broken.

    `table` has nodes for references, and 0 for empty names.
    """
    references = table.references
    nodes = table.words[references].astype(np.int64)
    targets = np.zeros(len(table.words), np.int64)
    targets[references] = nodes
    kinds = table.kinds
    is_suspect: Bools = _among(NAMED)[kinds] & (table.words[table.starts] == 0)
    owners = table.owners[references[_among(NOT_A_VALUE)[kinds[nodes]]]]
    is_suspect[owners[~_among(REFERS_TO_ANY)[kinds[owners]]]] = True
    for bad in _bad_values(table, targets):
        is_suspect[bad] = True
    for bad in _bad_contents(table, targets):
        is_suspect[bad] = True
    is_suspect[0] = False
    return is_suspect


def _bad_values(table: Table, targets: Indices) -> Iterator[Indices]:
    """Types that break a rule of their kind."""
    words, starts, kinds, vlens = table.words, table.starts, table.kinds, table.vlens

    nodes = table.nodes_of(Kind.INT)
    sizes, encodings = words[starts[nodes] + 2], words[starts[nodes] + 3]
    bits = (encodings >> np.uint32(16) & np.uint32(255)) + (encodings & np.uint32(255))
    yield nodes[~np.isin(sizes, INT_SIZES) | (bits > 8 * sizes.astype(np.int64))]

    nodes = table.arrays
    yield nodes[(words[starts[nodes] + 3] == 0) | (words[starts[nodes] + 4] == 0)]

    yield _bad_members(table)

    for kind, sizes_of_kind in ((Kind.ENUM, ENUM_SIZES), (Kind.ENUM64, ENUM_SIZES), (Kind.FLOAT, FLOAT_SIZES)):
        nodes = table.nodes_of(kind)
        yield nodes[~np.isin(words[starts[nodes] + 2], sizes_of_kind)]

    nodes = table.nodes_of(Kind.FUNC)
    yield nodes[(vlens[nodes] > Linkage.EXTERN) | (kinds[targets[starts[nodes] + 2]] != Kind.FUNC_PROTO)]

    nodes, positions = table.parameters.nodes, table.parameters.positions
    is_last = np.zeros(len(positions), np.bool_)
    is_last[np.cumsum(table.parameters.counts)[table.parameters.counts > 0] - 1] = True
    bad = (words[positions + 1] == 0) & ~(is_last & (words[positions] == 0))
    yield table.parameters.spread(nodes)[bad]

    nodes = table.nodes_of(Kind.VAR)
    yield nodes[words[starts[nodes] + 3] > Linkage.EXTERN]

    entries = table.section_entries
    yield entries.spread(entries.nodes)[~_among((Kind.VAR, Kind.FUNC))[kinds[targets[entries.positions]]]]

    # These are few, and what they are of is of many kinds.
    yield table.nodes_of(Kind.DECL_TAG)


def _bad_members(table: Table) -> Indices:
    """STRUCTs and UNIONs with members that are void or do not fit."""
    words, members = table.words, table.members
    offsets = words[members.positions + 2].astype(np.int64)
    has_bit_sizes = members.spread(table.infos[members.nodes] >> np.uint32(31)).astype(np.bool_)
    packed = offsets[has_bit_sizes]
    offsets[has_bit_sizes] = (packed & 0xFFFFFF) + (packed >> 24)
    bits = 8 * words[table.starts[members.nodes] + 2].astype(np.int64)
    bad = (words[members.positions + 1] == 0) | (offsets > members.spread(bits))
    owners: Indices = members.spread(members.nodes)[bad]
    return owners


def _bad_contents(table: Table, targets: Indices) -> Iterator[Indices]:
    """All types among which a type may be that contains itself, and those that contain what is only declared."""
    starts = table.starts
    base = np.arange(len(table))
    one = table.nodes_of(*BY_VALUE.difference(_STRUCTS, (Kind.ARRAY,)))
    base[one] = targets[starts[one] + 2]
    base[table.arrays] = targets[starts[table.arrays] + 3]
    for _ in range(_MAX_DOUBLINGS):
        further = base[base]
        if np.array_equal(further, base):
            break
        base = further
    endless = np.flatnonzero(_among(BY_VALUE.difference(_STRUCTS))[table.kinds[base]])
    yield endless
    if len(endless):
        return
    pointers = table.nodes_of(Kind.PTR)
    ends = base.copy()
    ends[pointers] = base[targets[starts[pointers] + 2]]
    for _ in range(_MAX_DOUBLINGS):
        further = ends[ends]
        if np.array_equal(further, ends):
            break
        ends = further
    yield np.flatnonzero(table.kinds[ends] == Kind.PTR)
    owners = table.members.spread(table.members.nodes)
    inner = base[targets[table.members.positions + 1]]
    yield owners[table.kinds[inner] == Kind.FWD]
    yield table.arrays[table.kinds[base[targets[starts[table.arrays] + 3]]] == Kind.FWD]
    is_struct = _among(_STRUCTS)[table.kinds[inner]]
    owners, inner = owners[is_struct], inner[is_struct]
    for _ in range(_MAX_DEPTH):
        has_structs = np.zeros(len(table), np.bool_)
        has_structs[owners] = True
        kept = has_structs[inner]
        owners, inner = owners[kept], inner[kept]
        if not len(owners):
            break
    yield owners


def _among(kinds: Iterable[int]) -> Bools:
    """By kind, whether it is one of `kinds`."""
    chosen = np.zeros(256, np.bool_)
    chosen[list(kinds)] = True
    return chosen
