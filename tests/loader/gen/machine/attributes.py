"""union bpf_attr of the commands that loader programs use, by name: how the simulated kernel reads it.

Written apart from the project's tables. Offsets follow from the sizes, for each field is aligned to its size and
names are 16 bytes of characters. Source: include/uapi/linux/bpf.h of Linux 6.18.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.loader.gen.machine.memory import Endian

MAP_CREATE, MAP_UPDATE_ELEM, PROG_LOAD, BTF_LOAD, MAP_FREEZE = 0, 2, 5, 18, 22

NAME_SIZE = 16
UNION_SIZE = 168
"""Bytes of the union; what is behind them must be zero (E2BIG), as must what a command does not use (EINVAL)."""


class Field(NamedTuple):
    """A field's place and size in bytes."""

    name: str
    offset: int
    size: int


def _layout(text: str) -> tuple[Field, ...]:
    """Fields out of `name:size` words; a name starts where it can, a number on a multiple of its size."""
    fields, offset = [], 0
    for word in text.split():
        name, size_text = word.split(":")
        size = int(size_text)
        alignment = 1 if size == NAME_SIZE else size
        offset += -offset % alignment
        if not name.startswith("_"):
            fields.append(Field(name, offset, size))
        offset += size
    return tuple(fields)


LAYOUTS = {
    MAP_CREATE: _layout(
        "map_type:4 key_size:4 value_size:4 max_entries:4 map_flags:4 inner_map_fd:4 numa_node:4 map_name:16"
        " map_ifindex:4 btf_fd:4 btf_key_type_id:4 btf_value_type_id:4 btf_vmlinux_value_type_id:4 map_extra:8"
        " value_type_btf_obj_fd:4 map_token_fd:4 excl_prog_hash:8 excl_prog_hash_size:4"
    ),
    MAP_UPDATE_ELEM: _layout("map_fd:4 _pad:4 key:8 value:8 flags:8"),
    MAP_FREEZE: _layout("map_fd:4"),
    BTF_LOAD: _layout(
        "btf:8 btf_log_buf:8 btf_size:4 btf_log_size:4 btf_log_level:4 btf_log_true_size:4 btf_flags:4"
        " btf_token_fd:4"
    ),
    PROG_LOAD: _layout(
        "prog_type:4 insn_cnt:4 insns:8 license:8 log_level:4 log_size:4 log_buf:8 kern_version:4 prog_flags:4"
        " prog_name:16 prog_ifindex:4 expected_attach_type:4 prog_btf_fd:4 func_info_rec_size:4 func_info:8"
        " func_info_cnt:4 line_info_rec_size:4 line_info:8 line_info_cnt:4 attach_btf_id:4 attach_btf_obj_fd:4"
        " core_relo_cnt:4 fd_array:8 core_relos:8 core_relo_rec_size:4 log_true_size:4 prog_token_fd:4"
        " fd_array_cnt:4 signature:8 signature_size:4 keyring_id:4"
    ),
}

POINTERS = {
    "btf", "core_relos", "excl_prog_hash", "fd_array", "func_info", "insns", "key", "license", "line_info",
    "value",
}  # fmt: skip
"""Fields with addresses of the kernel's; logs are written where the user says."""

COMMAND_NAMES = {
    MAP_CREATE: "MAP_CREATE",
    MAP_UPDATE_ELEM: "MAP_UPDATE_ELEM",
    PROG_LOAD: "PROG_LOAD",
    BTF_LOAD: "BTF_LOAD",
    MAP_FREEZE: "MAP_FREEZE",
}

Raw = dict[str, int | str]
"""Fields by name: numbers without a sign, names as text."""


class BadAttributes(Exception):
    """The kernel's errno for what it does not take; `code` is positive."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.errorcode[code])
        self.code = code


def decode(command: int, data: bytes, endian: Endian, last_field: str = "") -> Raw:
    """All fields of a command by name, 0 for those behind the end of `data`; raises BadAttributes.

    `last_field` is the last one that an older kernel knows.
    """
    if any(data[UNION_SIZE:]):
        raise BadAttributes(errno.E2BIG)
    data = data[:UNION_SIZE].ljust(UNION_SIZE, b"\0")
    fields = LAYOUTS[command]
    if last_field:
        fields = fields[: [field.name for field in fields].index(last_field) + 1]
    if any(data[fields[-1].offset + fields[-1].size :]):
        raise BadAttributes(errno.EINVAL)
    found: Raw = {}
    for name, offset, size in LAYOUTS[command]:
        part = data[offset : offset + size]
        found[name] = _text(part) if size == NAME_SIZE else int.from_bytes(part, endian)
    return found


def _text(data: bytes) -> str:
    """A name; the kernel takes letters, digits, `_` and `.`, and wants a NUL behind them."""
    name = data.partition(b"\0")[0]
    if len(name) == NAME_SIZE or (name and not name.replace(b"_", b"a").replace(b".", b"a").isalnum()):
        raise BadAttributes(errno.EINVAL)
    return name.decode("ascii")
