"""A kernel's types read whole, found by name."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from bpfas.loader.core.flavours import stem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.btf.btf import Btf


class WholeTypes:
    """A KernelBtf over a Btf that is in memory."""

    def __init__(self, name: str, btf: Btf, first_own_id: int = 1) -> None:
        self.name = name
        self.btf = btf
        self.first_own_id = first_own_id

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: defaultdict[str, list[int]] = defaultdict(list)
        for type_id in range(self.first_own_id, len(self.btf) + 1):
            if name := self.btf.name(type_id):
                found[name].append(type_id)
        return dict(found)

    @cached_property
    def _by_stem(self) -> dict[str, list[int]]:
        found: defaultdict[str, list[int]] = defaultdict(list)
        for name, ids in self._by_name.items():
            found[stem_of(name)] += ids
        return {stem: sorted(ids) for stem, ids in found.items()}

    def ids_named(self, name: str) -> Sequence[int]:
        """The ids of own types called `name`."""
        return self._by_name.get(name, ())

    def ids_with_stem(self, stem: str) -> Sequence[int]:
        """The ids of own types whose name without a flavour is `stem`."""
        return self._by_stem.get(stem, ())
