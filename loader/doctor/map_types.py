"""Types of maps, each tried by creating the smallest one.

Source: include/uapi/linux/bpf.h; releases by the commits that brought the types.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader import syscall
from bpfas.loader.doctor.finding import Finding, Group, Need, tried
from bpfas.loader.doctor.operations import INT_TYPES, create_map
from bpfas.loader.kernel.trial import answer_of, closing
from bpfas.loader.kinds import MapFlag, MapType, map_type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_M = MapType
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Shape(NamedTuple):
    """The smallest map of a type: sizes in bytes, entries, flags."""

    key_size: int = 4
    value_size: int = 4
    max_entries: int = 1
    flags: int = 0


_LIKE_AN_ARRAY = _Shape()
_WITHOUT_KEYS = _Shape(key_size=0)
_RING = _Shape(0, 0, _PAGE)
_OF_CGROUPS = _Shape(8, 4, 0)


class _Row(NamedTuple):
    map_type: MapType
    need: Need
    shape: _Shape = _LIKE_AN_ARRAY


_CGROUP_BPF = ("CONFIG_CGROUP_BPF",)
_ROWS = (
    _Row(_M.HASH, Need("3.19")),
    _Row(_M.ARRAY, Need("3.19")),
    _Row(_M.PROG_ARRAY, Need("4.2")),
    _Row(_M.PERF_EVENT_ARRAY, Need("4.3", ("CONFIG_PERF_EVENTS",))),
    _Row(_M.PERCPU_HASH, Need("4.6")),
    _Row(_M.PERCPU_ARRAY, Need("4.6")),
    _Row(_M.STACK_TRACE, Need("4.6", ("CONFIG_PERF_EVENTS",)), _Shape(value_size=8)),
    _Row(_M.CGROUP_ARRAY, Need("4.8", ("CONFIG_CGROUPS",))),
    _Row(_M.LRU_HASH, Need("4.10")),
    _Row(_M.LRU_PERCPU_HASH, Need("4.10")),
    _Row(_M.LPM_TRIE, Need("4.11"), _Shape(key_size=8, flags=MapFlag.NO_PREALLOC)),
    _Row(_M.ARRAY_OF_MAPS, Need("4.12")),
    _Row(_M.HASH_OF_MAPS, Need("4.12")),
    _Row(_M.DEVMAP, Need("4.14", ("CONFIG_NET",))),
    _Row(_M.SOCKMAP, Need("4.14", ("CONFIG_NET", "CONFIG_BPF_STREAM_PARSER"))),
    _Row(_M.CPUMAP, Need("4.15", ("CONFIG_NET",))),
    _Row(_M.XSKMAP, Need("4.18", ("CONFIG_XDP_SOCKETS",))),
    _Row(_M.SOCKHASH, Need("4.18", ("CONFIG_NET", "CONFIG_BPF_STREAM_PARSER"))),
    _Row(_M.CGROUP_STORAGE, Need("4.19", _CGROUP_BPF), _OF_CGROUPS),
    _Row(_M.REUSEPORT_SOCKARRAY, Need("4.19", ("CONFIG_INET",))),
    _Row(_M.PERCPU_CGROUP_STORAGE, Need("4.20", _CGROUP_BPF), _OF_CGROUPS),
    _Row(_M.QUEUE, Need("4.20"), _WITHOUT_KEYS),
    _Row(_M.STACK, Need("4.20"), _WITHOUT_KEYS),
    _Row(_M.SK_STORAGE, Need("5.2", ("CONFIG_NET",))),
    _Row(_M.DEVMAP_HASH, Need("5.4", ("CONFIG_NET",))),
    _Row(_M.STRUCT_OPS, Need("5.6", ("CONFIG_BPF_JIT",))),
    _Row(_M.RINGBUF, Need("5.8"), _RING),
    _Row(_M.INODE_STORAGE, Need("5.10", ("CONFIG_BPF_LSM",))),
    _Row(_M.TASK_STORAGE, Need("5.11")),
    _Row(_M.BLOOM_FILTER, Need("5.16"), _WITHOUT_KEYS),
    _Row(_M.USER_RINGBUF, Need("6.1"), _RING),
    _Row(_M.CGRP_STORAGE, Need("6.2", ("CONFIG_CGROUPS",))),
    _Row(_M.ARENA, Need("6.9", ("CONFIG_MMU",)), _Shape(0, 0, 1, MapFlag.MMAPABLE)),
    _Row(_M.INSN_ARRAY, Need("6.19"), _Shape(value_size=16)),
    _Row(_M.RHASH, Need("7.1"), _Shape(flags=MapFlag.NO_PREALLOC)),
)


def examine_map_types() -> Iterator[Finding]:
    """Each type of maps, created."""
    for row in _ROWS:
        create = _SPECIAL.get(row.map_type, _create)
        yield tried(
            Group.MAP_TYPES,
            map_type_name(row.map_type),
            "the smallest map was created",
            _trial(create, row),
            row.need,
        )


def _trial(create: Callable[[_Row], int], row: _Row) -> Callable[[], int]:
    return lambda: answer_of(lambda: create(row)).errno


def _create(row: _Row, inner_map_fd: int = 0) -> int:
    shape = row.shape
    return syscall.map_create(
        "",
        row.map_type,
        shape.key_size,
        shape.value_size,
        shape.max_entries,
        shape.flags,
        inner_map_fd=inner_map_fd,
    )


def _create_outer(row: _Row) -> int:
    with closing(syscall.map_create("", MapType.ARRAY, 4, 4, 1)) as inner_map_fd:
        return _create(row, inner_map_fd)


def _create_storage(row: _Row) -> int:
    """Storage that belongs to a socket, an inode and so on has types, and entries as they come."""
    with closing(syscall.btf_load(INT_TYPES)) as btf_fd:
        return syscall.map_create(
            "", row.map_type, 4, 4, 0, MapFlag.NO_PREALLOC, btf_fd=btf_fd, key_type=1, value_type=1
        )


_SPECIAL: dict[MapType, Callable[[_Row], int]] = {
    _M.ARRAY_OF_MAPS: _create_outer,
    _M.HASH_OF_MAPS: _create_outer,
    _M.SK_STORAGE: _create_storage,
    _M.INODE_STORAGE: _create_storage,
    _M.TASK_STORAGE: _create_storage,
    _M.CGRP_STORAGE: _create_storage,
    _M.STRUCT_OPS: lambda _row: create_map(),
}
