"""What is wrong with the definition of a map that the kernel has refused, in words.

The kernel says EINVAL, or E2BIG, and no more. What it wants of sizes, entries and flags is here by map type; what
it refuses for other reasons is left to `bpfas.loader.errors`. Source: the map types' pages in the kernel's
Documentation/bpf, and what kernels answer.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.kinds import (
    MAPS_OF_MAPS,
    PER_CPU_MAP_TYPES,
    STORAGE_MAP_TYPES,
    MapFlag,
    MapType,
    map_flag_names,
    map_type_name,
)
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.spec import MapSpec

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LARGEST = (1 << 32) - 1
_PER_CPU_LIMIT = 1 << 15
"""Bytes that the kernel can allocate for each CPU in one piece."""


_ALL_FLAGS = sum(MapFlag)


class _Sizes(NamedTuple):
    """The sizes, in bytes, that a key or value may have: from `least` to `most`, in steps of `step`."""

    least: int
    most: int
    step: int = 1

    def __contains__(self, size: object) -> bool:
        return isinstance(size, int) and self.least <= size <= self.most and size % self.step == 0

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.least} bytes" if self.least else "no bytes"
        if self.step > 1 and self.most == 2 * self.least:
            return f"{self.least} or {self.most} bytes"
        unit = "byte" if self.least == 1 else "bytes"
        range_ = f"{self.least} {unit} or more" if self.most == _LARGEST else f"{self.least} to {self.most} bytes"
        return range_ if self.step == 1 else f"{range_}, a multiple of {self.step}"


_NONE, _ANY = _Sizes(0, 0), _Sizes(1, _LARGEST)
_WORD, _WORD_OR_COOKIE = _Sizes(4, 4), _Sizes(4, 8, 4)


class _Wants(NamedTuple):
    """What a map type wants. `has_entries` says whether max_entries counts, or must be 0."""

    key: _Sizes
    value: _Sizes
    required: MapFlag = MapFlag(0)
    has_entries: bool = True


_HASH, _ARRAY, _WORDS = _Wants(_ANY, _ANY), _Wants(_WORD, _ANY), _Wants(_WORD, _WORD)
_OF_DEVICES, _QUEUE, _RING = _Wants(_WORD, _WORD_OR_COOKIE), _Wants(_NONE, _ANY), _Wants(_NONE, _NONE)
_STORAGE = _Wants(_WORD, _ANY, MapFlag.NO_PREALLOC, has_entries=False)
_CGROUP_STORAGE = _Wants(_Sizes(8, 16, 8), _ANY, has_entries=False)

_WANTS: dict[int, _Wants] = {
    MapType.HASH: _HASH,
    MapType.ARRAY: _ARRAY,
    MapType.PROG_ARRAY: _WORDS,
    MapType.PERF_EVENT_ARRAY: _WORDS,
    MapType.PERCPU_HASH: _HASH,
    MapType.PERCPU_ARRAY: _ARRAY,
    MapType.STACK_TRACE: _Wants(_WORD, _Sizes(8, _LARGEST, 8)),
    MapType.CGROUP_ARRAY: _WORDS,
    MapType.LRU_HASH: _HASH,
    MapType.LRU_PERCPU_HASH: _HASH,
    MapType.LPM_TRIE: _Wants(_Sizes(5, 260), _ANY, MapFlag.NO_PREALLOC),
    MapType.ARRAY_OF_MAPS: _WORDS,
    MapType.HASH_OF_MAPS: _Wants(_ANY, _WORD),
    MapType.DEVMAP: _OF_DEVICES,
    MapType.SOCKMAP: _OF_DEVICES,
    MapType.CPUMAP: _OF_DEVICES,
    MapType.XSKMAP: _WORDS,
    MapType.SOCKHASH: _Wants(_ANY, _WORD_OR_COOKIE),
    MapType.CGROUP_STORAGE: _CGROUP_STORAGE,
    MapType.REUSEPORT_SOCKARRAY: _OF_DEVICES,
    MapType.PERCPU_CGROUP_STORAGE: _CGROUP_STORAGE,
    MapType.QUEUE: _QUEUE,
    MapType.STACK: _QUEUE,
    MapType.SK_STORAGE: _STORAGE,
    MapType.DEVMAP_HASH: _OF_DEVICES,
    MapType.RINGBUF: _RING,
    MapType.INODE_STORAGE: _STORAGE,
    MapType.TASK_STORAGE: _STORAGE,
    MapType.BLOOM_FILTER: _QUEUE,
    MapType.USER_RINGBUF: _RING,
    MapType.CGRP_STORAGE: _STORAGE,
    MapType.ARENA: _Wants(_NONE, _NONE, MapFlag.MMAPABLE),
}

_FLAG_FOR: dict[MapFlag, frozenset[MapType]] = {
    MapFlag.NO_PREALLOC: STORAGE_MAP_TYPES
    | {MapType.HASH, MapType.PERCPU_HASH, MapType.HASH_OF_MAPS, MapType.LPM_TRIE, MapType.RHASH},
    MapFlag.NO_COMMON_LRU: frozenset({MapType.LRU_HASH, MapType.LRU_PERCPU_HASH}),
    MapFlag.STACK_BUILD_ID: frozenset({MapType.STACK_TRACE}),
    MapFlag.MMAPABLE: frozenset({MapType.ARRAY, MapType.ARENA}),
    MapFlag.PRESERVE_ELEMS: frozenset({MapType.PERF_EVENT_ARRAY}),
    MapFlag.INNER_MAP: frozenset({MapType.ARRAY}),
}
"""The map types that a flag is for; other flags are for many."""


def explain_refusal(spec: MapSpec, number: int) -> Explanation | None:
    """What is wrong with a map that the kernel gives errno `number` for, None if nothing of it is known."""
    faults = list(_faults(spec)) if number == errno.EINVAL else []
    if number in (errno.EINVAL, errno.E2BIG):
        faults += _too_large(spec)
    if not faults:
        return None
    causes, remedies = zip(*faults, strict=True)
    kind = map_type_name(spec.map_type)
    article = "an" if kind[0] in "aeio" else "a"
    return Explanation(f"{article} {kind} map {'; '.join(causes)}", "; ".join(dict.fromkeys(remedies)))


def _faults(spec: MapSpec) -> Iterator[tuple[str, str]]:
    """What is wrong, as the predicate of a sentence, and what to do."""
    wants = _WANTS.get(spec.map_type)
    if wants is None:
        return
    if wants.has_entries and spec.max_entries == 0:
        example = f"a power of two, {_PAGE} or more" if wants is _RING else "1 or more"
        yield "needs max_entries, which is 0 here", f"give it max_entries of {example}"
    if not wants.has_entries and spec.max_entries:
        yield f"grows by itself, and max_entries is {spec.max_entries} here", "leave max_entries out"
    if wants is _RING and (spec.max_entries % _PAGE or spec.max_entries & spec.max_entries - 1):
        yield (
            f"has bytes for max_entries, and {spec.max_entries} is no power of two of whole pages",
            f"give it max_entries of {_PAGE}, {2 * _PAGE}, {4 * _PAGE}, …",
        )
    for what, size, sizes in (("key", spec.key_size, wants.key), ("value", spec.value_size, wants.value)):
        if size not in sizes:
            remedy = f"make the {what} {sizes}" if sizes.most else f"leave {what} and {what}_size out"
            yield f"has a {what} of {sizes}, not of {size}", remedy
    if missing := wants.required & ~spec.map_flags:
        names = _flag_names(missing)
        yield f"needs {names}", f"give it __uint(map_flags, {names})"
    if spec.map_type in MAPS_OF_MAPS and spec.inner is None:
        remedy = "say in its definition what they are like: __array(values, struct { … })"
        yield "needs to know what the maps in it are like", remedy
    if unknown := spec.map_flags & ~_ALL_FLAGS:
        yield f"has flags that no kernel knows: {unknown:#x}", "leave them out of map_flags"
    for flag, types in _FLAG_FOR.items():
        if spec.map_flags & flag and spec.map_type not in types:
            yield f"does not take {_flag_names(flag)}", f"leave {_flag_names(flag)} out of map_flags"
    if spec.map_type in STORAGE_MAP_TYPES and not (spec.key_type and spec.value_type):
        yield "needs the types of its key and value", "define it in .maps with __type, and compile with -g"


def _too_large(spec: MapSpec) -> Iterator[tuple[str, str]]:
    if spec.map_type in PER_CPU_MAP_TYPES and spec.value_size > _PER_CPU_LIMIT:
        cause = f"has values of {_PER_CPU_LIMIT} bytes at most for each CPU, not of {spec.value_size}"
        yield cause, "make the value smaller"


def _flag_names(flags: int) -> str:
    return " | ".join(f"BPF_F_{name.upper()}" for name in map_flag_names(flags))
