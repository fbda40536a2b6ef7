"""Programs that take the place of a function of a program that is loaded already."""

from __future__ import annotations

import errno
import os
import struct

from bpfas.loader.gen.python.parts.attach_trace import TraceProgram
from bpfas.loader.gen.python.parts.btf import FUNC, Types
from bpfas.loader.gen.python.parts.kernel import BpfError, LoadError, address_of, bpf

OBJ_GET, PROG_GET_FD_BY_ID, GET_INFO, BTF_GET_FD_BY_ID = 7, 13, 15, 19
BTF_ID_IN_PROGRAM_INFO, PROGRAM_INFO_SIZE = 128, 232


class ReplacingProgram(TraceProgram):
    """A program of section freplace; `set_target` says of which program, before loading."""

    def __init__(
        self,
        name: str,
        entry: int,
        section: str,
        target: str,
        attach_type: int,
        target_fact: int,
        type_fact: int,
        is_loaded: bool = True,
    ) -> None:
        super().__init__(name, entry, section, target, attach_type, is_loaded)
        self._target_fact, self._type_fact = target_fact, type_fact
        self._target_fd = -1

    def set_target(self, *, id: int = 0, pin: str = "", fd: int = -1) -> None:  # noqa: A002
        """Say which program it is for: by its number (bpftool prog), its pin, or a descriptor. Raises BpfError."""
        words = f"open program {id or pin or fd}"
        try:
            if fd >= 0:
                found = os.dup(fd)
            elif pin:
                path = os.fsencode(pin) + b"\0"
                found = bpf(OBJ_GET, struct.pack("=QII", address_of(path), 0, 0))
            else:
                found = bpf(PROG_GET_FD_BY_ID, struct.pack("=III", id, 0, 0))
        except OSError as error:
            raise BpfError(words, error.errno or 0) from None
        if os.readlink(f"/proc/self/fd/{found}") != "anon_inode:bpf-prog":
            os.close(found)
            raise BpfError(words, errno.EINVAL, "it is no program")
        self._close_target()
        self._target_fd = found

    def prepare(self, context: bytearray) -> None:
        """Find the function, and tell the loader program of it. Raises LoadError."""
        super().prepare(context)
        if not self.autoload:
            return
        if self._target_fd < 0:
            reason = f"say which program it is for: progs.{self.name}.set_target(id=...), or pin= or fd="
            raise LoadError(f"load {self.name}", errno.EINVAL, reason)
        types = Types(program_btf(self._target_fd), "the program")
        type_id = types.find(FUNC, self.target)
        if not type_id:
            reason = f"the program has no function {self.target}, only {', '.join(types.names(FUNC))}"
            raise LoadError(f"load {self.name}", errno.ENOENT, reason)
        struct.pack_into("=Q", context, self._target_fact, self._target_fd)
        struct.pack_into("=Q", context, self._type_fact, type_id)

    def _close_target(self) -> None:
        fd, self._target_fd = self._target_fd, -1
        if fd >= 0:
            os.close(fd)

    def close(self) -> None:
        """End its attachments and close it, and its target."""
        self._close_target()
        super().close()


def object_info(fd: int, info: bytearray) -> None:
    """What the kernel says of what a descriptor stands for. Raises OSError."""
    bpf(GET_INFO, struct.pack("=IIQ", fd, len(info), address_of(info)))


def program_btf(fd: int) -> bytes:
    """The BTF that a program was loaded with. Raises LoadError where there is none."""
    info = bytearray(PROGRAM_INFO_SIZE)
    try:
        object_info(fd, info)
        (btf_id,) = struct.unpack_from("=I", info, BTF_ID_IN_PROGRAM_INFO)
        if not btf_id:
            raise LoadError("read the target's types", errno.ENOENT, "it was loaded without BTF")
        btf_fd = bpf(BTF_GET_FD_BY_ID, struct.pack("=III", btf_id, 0, 0))
        try:
            btf_info = bytearray(32)
            object_info(btf_fd, btf_info)
            (size,) = struct.unpack_from("=I", btf_info, 8)
            data = bytearray(size)
            struct.pack_into("=QI", btf_info, 0, address_of(data), size)
            object_info(btf_fd, btf_info)
        finally:
            os.close(btf_fd)
    except LoadError:
        raise
    except OSError as error:
        raise LoadError("read the target's types", error.errno or 0) from None
    return bytes(data)
