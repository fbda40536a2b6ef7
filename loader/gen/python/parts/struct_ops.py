"""Structs of operations: what the running kernel's struct is like, and the value that registers an instance.

Members are matched by name, so that an object may leave out what it does not need, and have zeros (or unused
programs) in what this kernel does not know.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.btf import FUNC_PROTO, PTR, STRUCT, Types
from bpfas.loader.gen.python.parts.kernel import LoadError, address_of, bpf, read_file
from bpfas.loader.gen.python.parts.links import Link, attach_error, link_create
from bpfas.loader.gen.python.parts.maps import Map
from bpfas.loader.gen.python.parts.values import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

KERNEL_TYPES = "/sys/kernel/btf"
STRUCT_OPS_UPDATE, STRUCT_OPS_DELETE, ATTACH_STRUCT_OPS = 2, 3, 44
STRUCT_OPS_HINTS = {
    errno.EEXIST: "functions are registered under the same name already",
    errno.EBUSY: "its functions are registered already, or have been (without a link, that is once), or "
    "the kernel takes only one such struct at a time",
    errno.EINVAL: "the kernel does not take these functions: one that it needs is missing, or a field has a value "
    "that it does not permit (dmesg may say which)",
}


class StructOpsMap(Map):
    """A map of section .struct_ops: `values` has its fields, which may be set before it is attached.

    `members` are offset, size and kind ("data", "pointer", "bits") of the object's struct by name, `programs` the
    programs of pointers, `indices` where in the context the numbers of the programs' members go, `value_size`
    where the size of the kernel's value goes (0 for nowhere).
    """

    attaches_by_section = True
    is_sized = False

    def __init__(
        self,
        name: str,
        entry: int,
        struct_name: str,
        contents: bytes,
        values: Any,
        members: Mapping[str, tuple[int, int, str]],
        programs: Mapping[str, Any],
        value_size: int,
        indices: Mapping[str, int],
        is_link: bool,
    ) -> None:
        super().__init__(name, entry, "struct_ops", 1)
        self.memory = Memory(bytearray(contents))
        self.values_type = values
        self.links: list[Link] = []
        self._struct_name = struct_name
        self._members = members
        self.programs = programs
        self._value_size = value_size
        self._indices = indices
        self._is_link = is_link
        self._size = 0
        self._places: dict[str, tuple[int, int]] = {}  # offset in the kernel's value, number of the member

    @property
    def variables(self) -> Any:
        """The fields, as attributes."""
        return self.values_type.read(self.memory, 0)

    def prepare(self, context: bytearray) -> None:
        """Find the kernel's struct, and tell the loader program of it. Raises LoadError."""
        try:
            types, wrapper, operations, start = find_struct_ops(self._struct_name)
        except OSError as error:
            if isinstance(error, LoadError):
                raise
            raise LoadError("read the kernel's types", error.errno or 0, error.strerror or "") from None
        self._size = types.size(wrapper)
        self._match(types, operations, start)
        if self._value_size:
            struct.pack_into("=Q", context, self._value_size, self._size)
        for program, at in self._indices.items():
            for member, owner in self.programs.items():
                if owner.name == program and member in self._places:
                    struct.pack_into("=Q", context, at, self._places[member][1])

    def _match(self, types: Types, operations: int, start: int) -> None:
        """Where the members of the instance are in the kernel's value. Raises LoadError."""
        known = {member.name: (number, member) for number, member in enumerate(types.members(operations))}
        self._places = {}
        for name, (offset, size, kind) in self._members.items():
            is_set = any(self.memory.read(offset, size))
            found = known.get(name)
            fault = ""
            if found is None:
                fault = "is not zero, but the kernel has no such member" if is_set else ""
            elif kind == "pointer":
                target = types.plain(found[1].type_id)
                is_function = (
                    types.kind(target) == PTR and types.kind(types.plain(types.size_or_type(target))) == FUNC_PROTO
                )
                if is_set:
                    fault = "is an address; only programs can be given to the kernel"
                elif name in self.programs and not is_function:
                    fault = "is a program, but no function in the kernel"
            elif kind == "bits" or found[1].bits:
                fault = "is a bit-field, which cannot be given to the kernel"
            elif types.size(found[1].type_id) != size:
                fault = f"has {size} bytes, but {types.size(found[1].type_id)} in the kernel"
            if fault:
                raise LoadError(
                    f"match struct {self._struct_name} of map {self.name}", errno.EINVAL, f"{name} {fault}"
                )
            if found is not None:
                self._places[name] = (start + found[1].offset // 8, found[0])

    def contents(self) -> bytes:
        """The value as the kernel takes it."""
        value = bytearray(self._size)
        for name, (place, _) in self._places.items():
            offset, size, kind = self._members[name]
            if kind == "data":
                value[place : place + size] = self.memory.read(offset, size)
            elif name in self.programs and self.programs[name].fd >= 0:
                struct.pack_into("=Q", value, place, self.programs[name].fd)
        return bytes(value)

    def attach(self) -> Link:
        """Register the functions with the kernel. Raises AttachError."""
        words = f"struct_ops {self.name}"
        key, value = bytes(4), self.contents()
        update = struct.pack("=IxxxxQQQ", max(self.fd, 0), address_of(key), address_of(value), 0)
        try:
            if self.fd < 0:
                raise OSError(errno.EBADF, "it is not loaded")
            bpf(STRUCT_OPS_UPDATE, update)
        except OSError as error:
            if not (self._is_link and error.errno == errno.EBUSY):  # it has its functions from the last time
                raise attach_error(words, error, STRUCT_OPS_HINTS) from None
        if self._is_link:
            link = link_create(words, self.fd, 0, ATTACH_STRUCT_OPS, 0, b"", STRUCT_OPS_HINTS)
        else:
            link = Link(-1, words, self._unregister)
        self.links.append(link)
        return link

    def _unregister(self) -> None:
        key = bytes(4)
        bpf(STRUCT_OPS_DELETE, struct.pack("=IxxxxQQQ", self.fd, address_of(key), 0, 0))

    def detach(self) -> None:
        """Unregister them. Raises AttachError."""
        while self.links:
            self.links.pop().close()

    def close(self) -> None:
        """Unregister them, and close the map."""
        try:
            self.detach()
        finally:
            super().close()


def find_struct_ops(name: str) -> tuple[Types, int, int, int]:
    """Whose types have it, the value's struct, the struct of operations in it, and where in it that is.

    Raises LoadError.
    """
    vmlinux = Types(read_file(f"{KERNEL_TYPES}/vmlinux"), "vmlinux")
    wanted = b"\0bpf_struct_ops_" + name.encode() + b"\0"
    found = struct_ops_in(vmlinux, name)
    if found is None:
        for module in sorted(os.listdir(KERNEL_TYPES)):
            data = read_file(f"{KERNEL_TYPES}/{module}") if module != "vmlinux" else b""
            if wanted in data:
                found = struct_ops_in(Types(data, module, vmlinux), name)
                if found is not None:
                    break
    if found is None:
        prefix = "bpf_struct_ops_"
        known = sorted(each[len(prefix) :] for each in vmlinux.names(STRUCT) if each.startswith(prefix))
        reason = f"the kernel has no such struct of operations, nor has a loaded module, only {', '.join(known)}"
        raise LoadError(f"find struct {name}", errno.ENOENT, reason)
    return found


def struct_ops_in(types: Types, name: str) -> tuple[Types, int, int, int] | None:
    """As `find_struct_ops`, in the types of one owner; None where it is not there."""
    wrapper = types.find(STRUCT, f"bpf_struct_ops_{name}")
    if wrapper:
        for member in types.members(wrapper):
            if types.kind(member.type_id) == STRUCT and types.type_name(member.type_id) == name:
                return types, wrapper, member.type_id, member.offset // 8
    return None
