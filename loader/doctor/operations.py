"""Registering a struct of operations: a congestion control of TCP that nobody uses, and that is gone at once.

Source: libbpf 1.8; net/ipv4/bpf_tcp_ca.c of Linux, for the operations that have to be there.
"""

from __future__ import annotations

import contextlib
import errno
import os

from bpfas.btf.kinds import Kind
from bpfas.loader import syscall
from bpfas.loader.doctor.targets import kernel_types, load_operation, type_named
from bpfas.loader.kernel.trial import RETURN_0, btf_bytes, closing, record
from bpfas.loader.kinds import AttachType, MapFlag, MapType

_OPERATIONS = "tcp_congestion_ops"
_REQUIRED = ("ssthresh", "cong_avoid", "undo_cwnd")
_NAME = b"bpfas_doctor"
_KEY = bytes(4)
INT_TYPES = btf_bytes([record(Kind.INT, 1, 4, 1 << 24 | 32)], ["int"])
"""BTF of an int alone, type 1."""


def create_map(flags: int = 0) -> int:
    """The descriptor of a map for the struct. Raises OSError."""
    value_type = type_named(f"bpf_struct_ops_{_OPERATIONS}", Kind.STRUCT)
    size = kernel_types().btf.size_or_type(value_type)
    # The kernel wants the types of the object that the map comes from, though it takes none of them.
    with closing(syscall.btf_load(INT_TYPES)) as btf_fd:
        return syscall.map_create(
            "", MapType.STRUCT_OPS, 4, size, 1, flags, btf_fd=btf_fd, kernel_value_type=value_type
        )


def register_congestion_control() -> None:
    """Register and unregister it. Raises OSError."""
    with contextlib.ExitStack() as stack:
        operations = {
            name: stack.enter_context(closing(load_operation(_OPERATIONS, name, RETURN_0))) for name in _REQUIRED
        }
        value = _value(operations)
        try:
            map_fd = stack.enter_context(closing(create_map(MapFlag.LINK)))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            _register_without_link(value)  # before Linux 6.4
            return
        syscall.map_update_elem(map_fd, _KEY, value)
        os.close(syscall.link_create(map_fd, 0, AttachType.STRUCT_OPS))


def _register_without_link(value: bytes) -> None:
    with closing(create_map()) as map_fd:
        syscall.map_update_elem(map_fd, _KEY, value)
        syscall.map_delete_elem(map_fd, _KEY)


def _value(operations: dict[str, int]) -> bytes:
    """The map's value: descriptors of programs where the struct has pointers to functions."""
    btf = kernel_types().btf
    value_type = type_named(f"bpf_struct_ops_{_OPERATIONS}", Kind.STRUCT)
    value = bytearray(btf.size_or_type(value_type))
    start = next(member.bit_offset // 8 for member in btf.members(value_type) if member.name == "data")
    places = {
        member.name: start + member.bit_offset // 8 for member in btf.members(type_named(_OPERATIONS, Kind.STRUCT))
    }
    for name, fd in operations.items():
        value[places[name] : places[name] + 4] = fd.to_bytes(4, btf.order.name_for_int)
    value[places["name"] : places["name"] + len(_NAME)] = _NAME
    return bytes(value)
