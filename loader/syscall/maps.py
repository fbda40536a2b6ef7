"""Maps: creation, single elements, freezing, and what the kernel says of them; many elements are `elements`'.

Layouts: union bpf_attr and struct bpf_map_info of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from bpfas.loader.syscall.bpf import S32, U32, U64, Command, bpf, buffer, pointer
from bpfas.loader.syscall.objects import get_info

_SHA256_SIZE = 32


class _MapCreate(ctypes.Structure):
    _fields_ = [
        ("map_type", U32),
        ("key_size", U32),
        ("value_size", U32),
        ("max_entries", U32),
        ("map_flags", U32),
        ("inner_map_fd", U32),
        ("numa_node", U32),
        ("map_name", ctypes.c_char * 16),
        ("map_ifindex", U32),
        ("btf_fd", U32),
        ("btf_key_type_id", U32),
        ("btf_value_type_id", U32),
        ("btf_vmlinux_value_type_id", U32),
        ("map_extra", U64),
        ("value_type_btf_obj_fd", S32),
        ("map_token_fd", S32),
        ("excl_prog_hash", U64),
        ("excl_prog_hash_size", U32),
    ]


class MapElement(ctypes.Structure):
    """What the commands of single elements take."""

    _fields_ = [("map_fd", U32), ("_pad", U32), ("key", U64), ("value", U64), ("flags", U64)]


class _MapInfo(ctypes.Structure):
    _fields_ = [
        ("type", U32),
        ("id", U32),
        ("key_size", U32),
        ("value_size", U32),
        ("max_entries", U32),
        ("map_flags", U32),
        ("name", ctypes.c_char * 16),
        ("ifindex", U32),
        ("btf_vmlinux_value_type_id", U32),
        ("netns_dev", U64),
        ("netns_ino", U64),
        ("btf_id", U32),
        ("btf_key_type_id", U32),
        ("btf_value_type_id", U32),
        ("btf_vmlinux_id", U32),
        ("map_extra", U64),
    ]


class _MapHashInfo(ctypes.Structure):
    _fields_ = [*_MapInfo._fields_, ("hash", U64), ("hash_size", U32)]


class MapInfo(NamedTuple):
    """What the kernel says of a map. Sizes are in bytes; `key_type` and `value_type` are of its BTF, `btf_id`."""

    type: int
    id: int
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int
    name: str
    btf_id: int
    key_type: int
    value_type: int
    map_extra: int


def map_create(
    name: str,
    map_type: int,
    key_size: int,
    value_size: int,
    max_entries: int,
    map_flags: int = 0,
    *,
    inner_map_fd: int = 0,
    numa_node: int = 0,
    ifindex: int = 0,
    btf_fd: int = 0,
    key_type: int = 0,
    value_type: int = 0,
    kernel_value_type: int = 0,
    map_extra: int = 0,
    value_type_btf_obj_fd: int = 0,
    token_fd: int = 0,
    exclusive_hash: bytes = b"",
) -> int:
    """BPF_MAP_CREATE: the descriptor of a new map. Sizes are in bytes.

    `key_type` and `value_type` are ids in the BTF object `btf_fd`; `kernel_value_type`, of a STRUCT_OPS map, is
    one in the kernel's own, or in that of the module `value_type_btf_obj_fd`. `exclusive_hash` is that of the only
    program that may use the map.
    """
    digest = buffer(exclusive_hash)
    return bpf(
        Command.MAP_CREATE,
        _MapCreate(
            map_type=map_type,
            key_size=key_size,
            value_size=value_size,
            max_entries=max_entries,
            map_flags=map_flags,
            inner_map_fd=inner_map_fd,
            numa_node=numa_node,
            map_name=name.encode(),
            map_ifindex=ifindex,
            btf_fd=btf_fd,
            btf_key_type_id=key_type,
            btf_value_type_id=value_type,
            btf_vmlinux_value_type_id=kernel_value_type,
            map_extra=map_extra,
            value_type_btf_obj_fd=value_type_btf_obj_fd,
            map_token_fd=token_fd,
            excl_prog_hash=pointer(digest),
            excl_prog_hash_size=len(exclusive_hash),
        ),
    )


def map_lookup_elem(map_fd: int, key: bytes, value_size: int) -> bytes:
    """BPF_MAP_LOOKUP_ELEM: the value of `key`, `value_size` bytes of it (for all CPUs together)."""
    key_buffer, value = buffer(key), ctypes.create_string_buffer(value_size)
    bpf(
        Command.MAP_LOOKUP_ELEM,
        MapElement(map_fd=map_fd, key=pointer(key_buffer), value=ctypes.addressof(value)),
    )
    return value.raw


def map_update_elem(map_fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
    """BPF_MAP_UPDATE_ELEM: set `key` to `value` (for all CPUs together)."""
    key_buffer, value_buffer = buffer(key), buffer(value)
    bpf(
        Command.MAP_UPDATE_ELEM,
        MapElement(map_fd=map_fd, key=pointer(key_buffer), value=pointer(value_buffer), flags=flags),
    )


def map_delete_elem(map_fd: int, key: bytes) -> None:
    """BPF_MAP_DELETE_ELEM."""
    key_buffer = buffer(key)
    bpf(Command.MAP_DELETE_ELEM, MapElement(map_fd=map_fd, key=pointer(key_buffer)))


def map_get_next_key(map_fd: int, key: bytes | None, key_size: int) -> bytes:
    """BPF_MAP_GET_NEXT_KEY: the key after `key`, the first one for None; ENOENT behind the last."""
    key_buffer, following = buffer(key or b""), ctypes.create_string_buffer(key_size)
    bpf(
        Command.MAP_GET_NEXT_KEY,
        MapElement(map_fd=map_fd, key=pointer(key_buffer), value=ctypes.addressof(following)),
    )
    return following.raw


def map_freeze(map_fd: int) -> None:
    """BPF_MAP_FREEZE: no more writes by bpf(2)."""
    bpf(Command.MAP_FREEZE, MapElement(map_fd=map_fd))


def map_info(map_fd: int) -> MapInfo:
    """BPF_OBJ_GET_INFO_BY_FD of a map."""
    info: Any = get_info(map_fd, _MapInfo())
    return MapInfo(
        info.type,
        info.id,
        info.key_size,
        info.value_size,
        info.max_entries,
        info.map_flags,
        info.name.decode(errors="replace"),
        info.btf_id,
        info.btf_key_type_id,
        info.btf_value_type_id,
        info.map_extra,
    )


def map_hash(map_fd: int) -> bytes:
    """BPF_OBJ_GET_INFO_BY_FD of a map: SHA-256 of its contents, each element padded to a multiple of 8 bytes.

    The kernel keeps it with the map, where programs see it. Only of a frozen ARRAY, since Linux 6.18.
    """
    digest = ctypes.create_string_buffer(_SHA256_SIZE)
    get_info(map_fd, _MapHashInfo(hash=ctypes.addressof(digest), hash_size=_SHA256_SIZE))
    return digest.raw
