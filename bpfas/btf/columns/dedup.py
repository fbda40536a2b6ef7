"""Which types are equal, as `bpfas.btf.dedup` finds it, for many types at once.

Types get hashes of all that they are. A reference to a named type counts as its name alone, so that a type's hash
is found in the few steps from it to names: through pointers, prototypes and types without a name. Equal hashes are
equal types unless types of one name turn out to differ; then references to those count as the hashes found, and
all is done again, until no class is split any more. In the end the words of each type are compared with those of
the type that stands for it, so nothing depends on hashes being good. What is not done in a few rounds is left to
`bpfas.btf.dedup`, which is slower, but has no bad cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bpfas.btf.columns.distinct import first_equals, mixed, run_starts
from bpfas.btf.kinds import Kind

if TYPE_CHECKING:
    from bpfas.btf.columns.table import Bools, Bytes, Hashes, Indices, Table

_MAX_ROUNDS = 40
_MAX_STEPS = 40
"""Steps from a type to names."""

_NO_TAG = 255
TYPEDEF_TAG = 3
_FORWARD_TAGS = 4
"""What is added to the tag of a forward declaration that shall not be the same as what it declares."""


class NotFoundError(Exception):
    """The classes are not found in a few rounds."""


class AmbiguousError(Exception):
    """Forward declarations, at these nodes, have names that several different types have."""

    def __init__(self, nodes: Indices) -> None:
        super().__init__(nodes)
        self.nodes = nodes


def tags_of(table: Table) -> tuple[Bytes, Bools]:
    """By node, what it shares with types of its name (see `bpfas.btf.graph`); and the forward declarations."""
    kinds, infos = table.kinds, table.infos
    by_kind = np.full(256, _NO_TAG, np.uint8)
    by_kind[[Kind.STRUCT, Kind.FWD, Kind.UNION, Kind.ENUM, Kind.ENUM64]] = 0, 0, 1, 2, 2
    by_kind[Kind.TYPEDEF] = TYPEDEF_TAG
    tags = by_kind[kinds]
    forwards = kinds == Kind.FWD
    tags[forwards] = infos[forwards] >> np.uint32(31)
    forwards |= (tags == by_kind[Kind.ENUM]) & (table.vlens == 0)
    nameless = table.words[table.starts] == 0
    tags[nameless] = _NO_TAG
    forwards &= ~nameless
    return tags, forwards


def first_of_class(table: Table, targets: Indices, unique: Bools, *, resolve: bool) -> Indices:
    """For each node the first that is equal to it, as `representatives` of `bpfas.btf.dedup`.

    The words of `table` have numbers for names; `targets` are the nodes referred to at `table.references`. Nodes
    that are `unique` are equal to no others. Only with `resolve` are forward declarations the full types of their
    names. Raises AmbiguousError or NotFoundError where another way is needed.
    """
    return _Classes(table, targets, unique, resolve=resolve).found()


class _Classes:
    def __init__(self, table: Table, targets: Indices, unique: Bools, *, resolve: bool) -> None:
        self.table = table
        self.targets = targets
        self.unique = unique
        references = table.references
        self.owners = table.owners[references]
        in_record = np.arange(len(table.words)) - np.repeat(table.starts, table.lengths)
        weights = mixed(np.arange(1, int(table.lengths.max()) + 1, dtype=np.uint64)) | np.uint64(1)
        of_words = weights[in_record]
        self.weights: Hashes = of_words[references]
        values = table.words.astype(np.uint64)
        values[references] = 0
        values *= of_words
        self.own: Hashes = np.zeros(len(table), np.uint64)
        self.own[1:] = np.add.reduceat(values, table.starts[1:])
        self.tags, self.forwards = tags_of(table)
        self.tags[unique] = _NO_TAG
        self.forwards &= ~unique
        if not resolve:
            self.tags[self.forwards] += np.uint8(_FORWARD_TAGS)
            self.forwards = np.zeros(len(table), np.bool_)
        tagged = np.flatnonzero(self.tags != _NO_TAG)
        keys = self.tags[tagged].astype(np.uint64) << np.uint64(32) | table.words[table.starts[tagged]]
        self.tagged = tagged
        self.same_tag = tagged[first_equals(keys)]
        """For each of `tagged`, the first node with its tag and name."""
        self.colors = mixed(self.own)
        """By node, what references to it count as."""
        self.colors[tagged] = mixed(keys + np.uint64(1 << 40))
        numbers = np.flatnonzero(unique)
        self.colors[numbers] = mixed(numbers.astype(np.uint64) + np.uint64(1 << 48))

    def found(self) -> Indices:
        """The classes."""
        classes = 0
        is_open = np.zeros(len(self.table), np.bool_)
        for _ in range(_MAX_ROUNDS):
            self._color_nameless()
            hashes = self._hashes()
            found = first_equals(hashes)
            count = int(np.count_nonzero(found == np.arange(len(found))))
            # Of full types of one name, all must be equal; else references to them have to tell more.
            is_full = ~self.forwards[self.tagged]
            full, first_full = self.tagged[is_full], self.same_tag[is_full]
            equal = np.full(len(self.table), -1)
            equal[first_full[::-1]] = found[full[::-1]]
            is_open[first_full[equal[first_full] != found[full]]] = True
            opened = self.tagged[is_open[self.same_tag]]
            if count == classes or not len(opened):
                declared = np.flatnonzero(self.forwards)
                first_declared = np.zeros(len(self.table), np.int64)
                first_declared[self.tagged] = self.same_tag
                is_ambiguous = is_open[first_declared[declared]]
                if np.any(is_ambiguous):
                    raise AmbiguousError(declared[is_ambiguous])
                meant = equal[first_declared[declared]]
                resolved = meant >= 0
                found[declared[resolved]] = meant[resolved]
                self._verify(found, declared[resolved])
                return found
            classes = count
            self.colors[opened] = hashes[opened]
        raise NotFoundError

    def _hashes(self) -> Hashes:
        sums = self.own + _sums(self.colors[self.targets] * self.weights, self.owners, len(self.table))
        hashes = mixed(sums)
        hashes[self.unique] = self.colors[self.unique]
        return hashes

    def _color_nameless(self) -> None:
        """Colors for the types that have references and do not count as a name."""
        waiting = np.zeros(len(self.table), np.bool_)
        waiting[self.owners] = True
        waiting[self.tagged] = False
        waiting &= ~self.unique
        edges = np.flatnonzero(waiting[self.owners])
        owners, targets, weights = self.owners[edges], self.targets[edges], self.weights[edges]
        for _ in range(_MAX_STEPS):
            if not len(owners):
                return
            blocked = np.zeros(len(self.table), np.bool_)
            blocked[owners[waiting[targets]]] = True
            is_ready = ~blocked[owners]
            ready = owners[is_ready]
            if not len(ready):
                break
            starts = run_starts(ready)
            nodes = ready[starts]
            sums = np.add.reduceat(self.colors[targets[is_ready]] * weights[is_ready], starts)
            self.colors[nodes] = mixed(self.own[nodes] + sums)
            waiting[nodes] = False
            owners, targets, weights = owners[~is_ready], targets[~is_ready], weights[~is_ready]
        raise NotFoundError

    def _verify(self, found: Indices, resolved: Indices) -> None:
        """Raise NotFoundError if types that count as equal are not."""
        table = self.table
        words = table.words.copy()
        words[table.references] = found[self.targets]
        others = found != np.arange(len(found))
        others[resolved] = False
        nodes = np.flatnonzero(others)
        firsts = found[nodes]
        lengths = table.lengths[nodes]
        if np.any(lengths != table.lengths[firsts]):
            raise NotFoundError
        ends = np.cumsum(lengths)
        own = np.repeat(table.starts[nodes] - ends + lengths, lengths)
        own += np.arange(len(own))
        if np.any(words[own] != words[own + np.repeat(table.starts[firsts] - table.starts[nodes], lengths)]):
            raise NotFoundError


def _sums(values: Hashes, owners: Indices, count: int) -> Hashes:
    """By node, the sum of the values that it owns; `owners` ascend."""
    sums = np.zeros(count, np.uint64)
    if len(values):
        starts = run_starts(owners)
        sums[owners[starts]] = np.add.reduceat(values, starts)
    return sums
