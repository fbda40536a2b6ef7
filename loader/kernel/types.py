"""The types of a kernel and of its modules, found by name.

That of the running kernel is trusted, so that nothing of it is looked at before it is needed. A module's BTF goes
on where that of vmlinux ends; the two are joined when somebody asks for a module's types, not for names alone.
"""

from __future__ import annotations

import sys
from array import array
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, cast

from bpfas.btf.btf import Btf
from bpfas.btf.kinds import Kind
from bpfas.btf.reader import host_words, sections_of
from bpfas.loader.kernel.names import NameTable
from bpfas.loader.kernel.type_index import TypeIndex, cache_key, named, walked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.elf.constants import ByteOrder

_SYMBOLS = frozenset({Kind.FUNC, Kind.VAR, Kind.DATASEC})
_TYPES = frozenset(Kind) - _SYMBOLS - {Kind.VOID, Kind.DECL_TAG, Kind.TYPE_TAG}
_IS_SYMBOL = bytes(byte in _SYMBOLS for byte in range(256))
_IS_TYPE = bytes(byte in _TYPES for byte in range(256))


class _Own:
    """Types that a BTF does not have from another one: those from `first` on.

    `words` and what is found in them count from type 1. Offsets of strings begin in `base_strings` and go on in
    `strings`. `key` is what is kept of it under, empty if nothing is.
    """

    def __init__(
        self,
        place: str,
        words: array[int],
        strings: bytes,
        *,
        base_strings: bytes = b"",
        key: str = "",
        first: int = 1,
    ) -> None:
        self.place = place
        self.words = words
        self.strings = strings
        self.base_strings = base_strings
        self.key = key
        self.first = first

    @cached_property
    def index(self) -> TypeIndex:
        """Where the types begin and of what kinds they are."""
        return walked(self.words, self.place, self.key)

    @cached_property
    def types(self) -> NameTable:
        """The names of those that are neither functions nor variables."""
        return named(lambda: NameTable.of(self._names(_IS_TYPE)), "names", self.key)

    @cached_property
    def symbols(self) -> NameTable:
        """The names of functions, variables and sections."""
        return named(lambda: NameTable.of(self._names(_IS_SYMBOL)), "symbols", self.key)

    def _names(self, is_wanted: bytes) -> Iterator[tuple[int, bytes]]:
        words, starts, kinds = self.words, self.index.starts, self.index.kinds
        base, strings, strings_at = self.base_strings, self.strings, len(self.base_strings)
        wanted = compress(range(self.first, len(kinds)), kinds[self.first :].translate(is_wanted))
        for number in wanted:
            offset = words[starts[number]]
            if offset >= strings_at:
                offset -= strings_at
                yield number, strings[offset : strings.find(0, offset)]
            else:
                yield number, base[offset : base.find(0, offset)]


def _words_in_place(types: memoryview, order: ByteOrder) -> array[int]:
    """The words of a type section, which are read where they lie if they are of the host's byte order."""
    if order.name_for_int != sys.byteorder:
        return host_words(types, order)
    return cast("array[int]", types.cast("I"))  # read like an array


class KernelTypes:
    """The types of vmlinux, or of a module with those of vmlinux before them (a KernelBtf).

    `btf` has all types, `first_own_id` is the first of the module itself, 1 for vmlinux.
    """

    def __init__(self, name: str, btf: Btf, *, first_own_id: int = 1, key: str = "") -> None:
        """Of types that are known to be right. `key` is what their names are kept under; empty if they are not."""
        self.name = name
        self.btf = btf
        self.first_own_id = first_own_id
        self._own = _Own(btf.object_name, btf.words, btf.strings, key=key, first=first_own_id)
        self._own.index = TypeIndex(btf.starts, btf.kinds)
        self._named: dict[str, tuple[int, ...]] = {}
        self._with_stem: dict[str, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.place!r})"

    @classmethod
    def trusted(cls, data: bytes | memoryview, order: ByteOrder, place: str, *, build_id: str = "") -> KernelTypes:
        """Those of a vmlinux whose BTF is known to be right; kept are the places and names of its types.

        `build_id` is that of the kernel, if it is known; see `cache_key`.
        """
        types_at, types, strings = sections_of(memoryview(data), order, place)
        words, key = _words_in_place(types, order), cache_key(types, strings, build_id)
        index = walked(words, place, key)
        btf = Btf(place, order, words, index.starts, index.kinds, bytes(strings), types_at)
        return cls("vmlinux", btf, key=key)

    @property
    def place(self) -> str:
        """Where the types are from."""
        return self._own.place

    def ids_named(self, name: str) -> Sequence[int]:
        """The ids of own types called `name`, of whatever kind, ascending."""
        if name not in self._named:
            self._named[name] = self._ids(self._own.types.called(name) + self._own.symbols.called(name))
        return self._named[name]

    def ids_with_stem(self, stem: str) -> Sequence[int]:
        """The ids of own types, but for functions and variables, whose name without a `___flavour` is `stem`."""
        if stem not in self._with_stem:
            self._with_stem[stem] = self._ids(self._own.types.with_stem(stem))
        return self._with_stem[stem]

    def names(self, *kinds: Kind) -> list[str]:
        """The names of all own types of these kinds."""
        own_kinds = self._own.index.kinds
        found = []
        for table, kinds_there in ((self._own.types, _TYPES), (self._own.symbols, _SYMBOLS)):
            if not kinds_there.isdisjoint(kinds):
                pairs = zip(table.ids, table.names(), strict=True)
                found += [name for number, name in pairs if own_kinds[number] in kinds]
        return found

    def _ids(self, numbers: Sequence[int]) -> tuple[int, ...]:
        return tuple(sorted(numbers))


class ModuleTypes(KernelTypes):
    """The types of a module of the running kernel, joined to those of vmlinux when `btf` is asked for."""

    def __init__(self, name: str, data: bytes, base: KernelTypes, place: str) -> None:
        """Of BTF that is known to be right, and made on that of `base`."""
        self.name = name
        self._base = base
        self.first_own_id = len(base.btf) + 1
        _, types, strings = sections_of(data, base.btf.order, place, is_split=True)
        self._own = _Own(place, host_words(types, base.btf.order), strings, base_strings=base.btf.strings)
        self._named = {}
        self._with_stem = {}

    @cached_property
    def btf(self) -> Btf:  # type: ignore[override] # an attribute all the same
        """All types, the module's own behind those of vmlinux."""
        base, own = self._base.btf, self._own
        shift = len(base.words)
        starts = array("I", base.starts[:-1]) + array("I", [start + shift for start in own.index.starts[1:]])
        kinds = base.kinds + own.index.kinds[1:]
        return Btf(
            self.place,
            base.order,
            array("I", base.words) + own.words,
            starts,
            kinds,
            base.strings + own.strings,
            base.types_at,
        )

    def _ids(self, numbers: Sequence[int]) -> tuple[int, ...]:
        return tuple(number + self.first_own_id - 1 for number in sorted(numbers))
