"""Which types are equal: the graph algorithm, type by type.

Types are nodes of a graph, whatever object they are of; references are its edges. Nodes are equal when everything
in their records is, apart from references, and what they refer to is equal in turn. As types refer to themselves
by way of pointers, that is the coarsest partition for which it holds, found by refinement: classes of equal
records are split as long as members of one refer to different classes. Of the parts of a class that is split the
largest keeps its number, so that a node gets a new one a logarithmic number of times, and only references to such
nodes are looked at again: the time is O(n log n) in the number of references, however long the chains of them are.

A forward declaration is the full type of its name if all full types of that name are one. That is known only in
the end: at first references to such names are equal whatever they lead to, and once full types of a name turn out
to differ, references to it are taken for what they are. Forward declarations of such names are resolved by the
types that they are used in, see `bpfas.btf.forwards`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from bpfas.btf.graph import Graph


def representatives(graph: Graph) -> list[int]:
    """For each node the first one that is equal to it; for a resolved forward declaration, the first full type."""
    resolved: dict[int, int] = {}
    while True:
        partition = Partition(graph.with_resolved(resolved))
        found = partition.representatives()
        more = _resolved(partition, found)
        if not more:
            for node, target in resolved.items():
                found[node] = found[target]
            return found
        resolved |= more


def _resolved(partition: Partition, found: list[int]) -> dict[int, int]:
    """Full types for forward declarations that are none by their name alone; mostly there are no such."""
    graph, opened = partition.graph, partition.opened
    if not any(graph.tags[node] in opened for node in graph.forwards):
        return {}
    from bpfas.btf.forwards import resolved_by_context

    return resolved_by_context(graph, found, opened)


class Partition:
    """The coarsest partition of a graph.

    `class_of[node]` is the number of a node's class, `members[number]` are the nodes in a class. `opened` are the
    tags whose full types differ.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.class_of: list[int] = []
        self.members: list[set[int]] = []
        self.opened: set[Hashable] = set()
        self._hidden: dict[Hashable, list[int]] = {}
        self._opaque = [0] * len(graph.records)
        """By node, a number below 0 if references to it lead to no more than its name."""
        self._referrers: list[list[tuple[int, int]]] = [[] for _ in graph.records]
        """By node, the nodes that refer to it, and with which of their references."""
        for node, targets in enumerate(graph.references):
            for position, target in enumerate(targets):
                self._referrers[target].append((node, position))
        self._class_by_record()
        self._hide_names()
        self._refine()

    def representatives(self) -> list[int]:
        """For each node the first of its class; for a forward declaration, of its full type's if there is one."""
        first: dict[int, int] = {}
        full: dict[Hashable, int] = {}
        forwards, tags = self.graph.forwards, self.graph.tags
        for node, number in enumerate(self.class_of):
            first.setdefault(number, node)
        for node, tag in tags.items():
            if node not in forwards:
                full.setdefault(tag, first[self.class_of[node]])
        found = [first[number] for number in self.class_of]
        for node in forwards:
            if tags[node] not in self.opened:
                found[node] = full.get(tags[node], found[node])
        return found

    def _class_by_record(self) -> None:
        numbers: dict[Hashable, int] = {}
        for node, record in enumerate(self.graph.records):
            number = numbers.setdefault(record, len(self.members))
            if number == len(self.members):
                self.members.append(set())
            self.members[number].add(node)
            self.class_of.append(number)

    def _hide_names(self) -> None:
        """Let references to names that have both a forward declaration and a full type lead to the name."""
        forwards, tags = self.graph.forwards, self.graph.tags
        declared = {tags[node] for node in forwards}
        named: dict[Hashable, list[int]] = {}
        for node, tag in tags.items():
            if tag in declared:
                named.setdefault(tag, []).append(node)
        for tag, nodes in named.items():
            classes = {self.class_of[node] for node in nodes if node not in forwards}
            if len(classes) == 1:
                self._hidden[tag] = nodes
                for node in nodes:
                    self._opaque[node] = -len(self._hidden)
            elif classes:
                self.opened.add(tag)

    def _refine(self) -> None:
        """Split classes until members of one refer to the same classes.

        Before each round the members of a class have equal references, but for those to `changed` nodes.
        """
        changed: Iterable[int] = range(len(self.class_of))
        while changed:
            differences: dict[int, list[tuple[int, int]]] = {}
            for target in changed:
                seen = self._opaque[target] or self.class_of[target]
                for node, position in self._referrers[target]:
                    differences.setdefault(node, []).append((position, seen))
            by_class: dict[int, dict[tuple[tuple[int, int], ...], list[int]]] = {}
            for node, difference in differences.items():
                number = self.class_of[node]
                if len(self.members[number]) > 1:
                    difference.sort()
                    by_class.setdefault(number, {}).setdefault(tuple(difference), []).append(node)
            moved: list[int] = []
            for number, groups in by_class.items():
                moved += self._split(number, list(groups.values()))
            changed = dict.fromkeys(moved)

    def _split(self, number: int, groups: list[list[int]]) -> list[int]:
        """Split a class into these groups and the members in none; gives the nodes that look different now."""
        members = self.members[number]
        rest = len(members) - sum(map(len, groups))
        largest = max(groups, key=len)
        if rest < len(largest):
            groups.remove(largest)
            if rest:
                groups.append(list(members.difference(largest, *groups)))
        moved = []
        for group in groups:
            members.difference_update(group)
            for node in group:
                self.class_of[node] = len(self.members)
            self.members.append(set(group))
            moved += group
        return moved + self._open(moved[0]) if moved else []

    def _open(self, node: int) -> list[int]:
        """No longer take types with the name of a node for equal, if they were; gives those types."""
        nodes = self._hidden.pop(self.graph.tags.get(node), [])
        if nodes:
            self.opened.add(self.graph.tags[node])
            for other in nodes:
                self._opaque[other] = 0
        return nodes
