"""The layout of union bpf_attr for the commands that a loader program may use, on every machine the same.

Source: include/uapi/linux/bpf.h; which commands bpf_sys_bpf admits: kernel/bpf/syscall.c of Linux 6.18.
"""

from __future__ import annotations

from typing import NamedTuple

from bpfas.loader.syscall.bpf import Command


class Field(NamedTuple):
    """A field of union bpf_attr: its place and size, in bytes."""

    offset: int
    size: int


def _layout(**sizes: int) -> dict[str, Field]:
    """Fields one after the other, each on a multiple of its size; those of 16 bytes are names."""
    fields: dict[str, Field] = {}
    offset = 0
    for name, size in sizes.items():
        alignment = min(size, 8) if size != NAME_SIZE else 1
        offset = -(-offset // alignment) * alignment
        fields[name] = Field(offset, size)
        offset += size
    return fields


NAME_SIZE = 16
"""Bytes of a field that holds a name (BPF_OBJ_NAME_LEN)."""

LAYOUTS: dict[Command, dict[str, Field]] = {
    Command.MAP_CREATE: _layout(
        map_type=4,
        key_size=4,
        value_size=4,
        max_entries=4,
        map_flags=4,
        inner_map_fd=4,
        numa_node=4,
        map_name=NAME_SIZE,
        map_ifindex=4,
        btf_fd=4,
        btf_key_type_id=4,
        btf_value_type_id=4,
        btf_vmlinux_value_type_id=4,
        map_extra=8,
        value_type_btf_obj_fd=4,
        map_token_fd=4,
        excl_prog_hash=8,
        excl_prog_hash_size=4,
    ),
    Command.MAP_UPDATE_ELEM: _layout(map_fd=4, key=8, value=8, flags=8),
    Command.MAP_FREEZE: _layout(map_fd=4),
    Command.PROG_LOAD: _layout(
        prog_type=4,
        insn_cnt=4,
        insns=8,
        license=8,
        log_level=4,
        log_size=4,
        log_buf=8,
        kern_version=4,
        prog_flags=4,
        prog_name=NAME_SIZE,
        prog_ifindex=4,
        expected_attach_type=4,
        prog_btf_fd=4,
        func_info_rec_size=4,
        func_info=8,
        func_info_cnt=4,
        line_info_rec_size=4,
        line_info=8,
        line_info_cnt=4,
        attach_btf_id=4,
        attach_btf_obj_fd=4,  # or attach_prog_fd
        core_relo_cnt=4,
        fd_array=8,
        core_relos=8,
        core_relo_rec_size=4,
        log_true_size=4,
        prog_token_fd=4,
    ),
    Command.BTF_LOAD: _layout(
        btf=8,
        btf_log_buf=8,
        btf_size=4,
        btf_log_size=4,
        btf_log_level=4,
        btf_log_true_size=4,
        btf_flags=4,
        btf_token_fd=4,
    ),
}
"""The fields of each command by name."""


def size_up_to(command: Command, *names: str) -> int:
    """The bytes of attributes whose last field is one of these, as older kernels may not know those behind it."""
    fields = LAYOUTS[command]
    return max(fields[name].offset + fields[name].size for name in names)
