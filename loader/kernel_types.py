"""The functions and variables in the running kernel's BTF, by name.

The file has some megabytes and comes from the kernel itself, so it is neither checked nor made into a Btf: one
walk over the records finds the two kinds that matter. Source: Documentation/bpf/btf.rst of Linux.
"""

from __future__ import annotations

import functools
import struct
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.btf.kinds import ENTRY_WORDS, FIXED_WORDS, MAX_VLEN, Kind, kind_of
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Iterable

VMLINUX_BTF = Path("/sys/kernel/btf/vmlinux")
_HEADER = struct.Struct("=HBBIIIII")
_KFUNC_TAG = b"bpf_kfunc"  # a DECL_TAG of every kfunc, since Linux 6.9


class KernelTypes:
    """What the BTF in `data` (of the host's byte order) says of functions and variables."""

    def __init__(self, data: bytes) -> None:
        _, _, _, header_size, type_off, type_len, str_off, str_len = _HEADER.unpack_from(data)
        self._words = array("I", data[header_size + type_off : header_size + type_off + type_len])
        self._strings = data[header_size + str_off : header_size + str_off + str_len]
        self._ids: dict[int, dict[int, int]] = {Kind.FUNC: {}, Kind.VAR: {}}
        """By kind, the type ids by the offsets of their names."""
        for type_id, (at, kind) in enumerate(self._records(), 1):
            if kind in self._ids:
                self._ids[kind][self._words[at]] = type_id

    def _records(self) -> Iterable[tuple[int, int]]:
        """Where each record begins, and its kind, from type 1 on."""
        words, at = self._words, 0
        while at < len(words):
            info = words[at + 1]
            kind = kind_of(info)
            yield at, kind
            try:
                at += FIXED_WORDS[kind] + ENTRY_WORDS[kind] * (info & MAX_VLEN)
            except IndexError as error:
                message = f"the kernel's BTF has a type of kind {kind}, which is not known here"
                raise BpfasError.of(message, str(VMLINUX_BTF), ("use a newer bpf-as",)) from error

    def type_id(self, kind: Kind, name: str) -> int:
        """The id of the FUNC or VAR called `name`; 0 if there is none."""
        offset = self._strings.find(b"\0%b\0" % name.encode()) + 1
        return self._ids[kind].get(offset, 0) if offset else 0

    def names(self, kind: Kind) -> list[str]:
        """The names of all functions or variables."""
        return [self._name(offset) for offset in self._ids[kind]]

    def kfunc_names(self) -> list[str]:
        """The functions that programs may call; all functions where the kernel does not tell."""
        tag = self._strings.find(b"\0%b\0" % _KFUNC_TAG) + 1
        words = self._words
        tagged = {words[at + 2] for at, kind in self._records() if kind == Kind.DECL_TAG and words[at] == tag}
        kfuncs = [self._name(offset) for offset, type_id in self._ids[Kind.FUNC].items() if type_id in tagged]
        return kfuncs or self.names(Kind.FUNC)

    def _name(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(0, offset)].decode(errors="replace")


@functools.cache
def kernel_types() -> KernelTypes | None:
    """What the running kernel's BTF says; None for a kernel without BTF."""
    try:
        data = VMLINUX_BTF.read_bytes()
    except OSError:
        return None
    return KernelTypes(data)
