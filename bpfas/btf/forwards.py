"""Forward declarations whose name several different full types have, resolved by the types they are used in.

If a struct of one object refers to such a declaration, and a struct of another object is the same but for
referring to one of the full types, then that type is meant. A declaration stays as it is where structs speak for
different full types, or one speaks for several, so that nothing is ever resolved by chance or by the order of
objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from bpfas.btf.graph import Graph

_Meaning = tuple[int, "Hashable"]

_MAX_STEPS_PER_NODE = 16
"""Pairs of types that are compared, in proportion to all types: beyond, declarations stay as they are."""


def resolved_by_context(graph: Graph, equal: Sequence[int], opened: set[Hashable]) -> dict[int, int]:
    """Full types for forward declarations of tags in `opened`, as far as there are some that are meant for sure.

    `equal` gives for each node the one that stands for all that are equal to it. Declarations in one object of one
    name mean the same type. If no object tells enough by itself, all are taken for one, as they are when the
    output is linked again.
    """
    forwards = {node: unit for node, unit in graph.forwards.items() if graph.tags[node] in opened}
    return _resolved(graph, equal, forwards) or _resolved(graph, equal, dict.fromkeys(forwards, 0))


def _resolved(graph: Graph, equal: Sequence[int], forwards: dict[int, int]) -> dict[int, int]:
    contexts = _Contexts(graph, equal, forwards)
    try:
        return contexts.resolved()
    except _TooManyStepsError:
        return {}


class _TooManyStepsError(Exception):
    """Comparing takes too long."""


class _Contexts:
    """The comparisons; a *meaning* is what declarations of one name in one object have in common."""

    def __init__(self, graph: Graph, equal: Sequence[int], forwards: dict[int, int]) -> None:
        self._graph = graph
        self._equal = equal
        self._meanings = {node: (unit, graph.tags[node]) for node, unit in forwards.items()}
        self._steps = _MAX_STEPS_PER_NODE * len(graph.records)

    def resolved(self) -> dict[int, int]:
        """A full type for each declaration that can be resolved."""
        meant: dict[_Meaning, set[int]] = {}
        alike = self._alike()
        for user, used in self._users().items():
            for other in alike[self._graph.records[user]]:
                found = self._compared(user, other)
                for meaning in used:
                    if meaning in found:
                        meant.setdefault(meaning, set()).add(found[meaning])
        sure = {meaning: next(iter(types)) for meaning, types in meant.items() if len(types) == 1}
        return {node: sure[meaning] for node, meaning in self._meanings.items() if meaning in sure}

    def _users(self) -> dict[int, dict[_Meaning, None]]:
        """The named types that refer to declarations, directly or by way of others, and what those mean."""
        graph = self._graph
        referrers: dict[int, list[int]] = {}
        for node, targets in enumerate(graph.references):
            for target in targets:
                referrers.setdefault(target, []).append(node)
        users: dict[int, dict[_Meaning, None]] = {}
        for declaration, meaning in self._meanings.items():
            seen = {declaration}
            ways = [declaration]
            while ways:
                for node in referrers.get(ways.pop(), ()):
                    self._step()
                    if node in graph.tags:
                        users.setdefault(node, {})[meaning] = None
                    elif node not in seen:
                        seen.add(node)
                        ways.append(node)
        return users

    def _alike(self) -> dict[Hashable, list[int]]:
        """By record, one node of each class of types with a tag that are no declarations."""
        alike: dict[Hashable, dict[int, int]] = {}
        for node in self._graph.tags:
            if node not in self._graph.forwards:
                alike.setdefault(self._graph.records[node], {}).setdefault(self._equal[node], node)
        return {record: list(nodes.values()) for record, nodes in alike.items()}

    def _compared(self, node: int, other: int) -> dict[_Meaning, int]:
        """What declarations must mean for two types to be equal; nothing if they differ, whatever they mean."""
        graph, equal, meanings = self._graph, self._equal, self._meanings
        found: dict[_Meaning, int] = {}
        pairs = [(node, other)]
        seen = set(pairs)
        while pairs:
            left, right = pairs.pop()
            self._step()
            if equal[left] == equal[right]:
                continue
            if (left in meanings) != (right in meanings):
                declaration, full = (left, right) if left in meanings else (right, left)
                meaning = meanings[declaration]
                if graph.tags[declaration] != graph.tags.get(full):
                    return {}
                if found.setdefault(meaning, equal[full]) != equal[full]:
                    return {}
            elif graph.records[left] == graph.records[right]:
                new = set(zip(graph.references[left], graph.references[right], strict=True)) - seen
                seen |= new
                pairs += new
            else:
                return {}
        return found

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise _TooManyStepsError
