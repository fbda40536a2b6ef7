"""Where the BTF of kernels and modules is found, and reading it.

Source: libbpf 1.8, which has the places; Documentation/ABI/testing/sysfs-kernel-btf of Linux.
"""

from __future__ import annotations

import functools
import os
import struct
from pathlib import Path
from typing import BinaryIO

from bpfas.btf.reader import HEADER_SIZE, MAGIC, read_btf, sections_of
from bpfas.diag import BpfasError
from bpfas.elf.constants import HOST_ORDER, ByteOrder
from bpfas.loader.kernel.types import KernelTypes, ModuleTypes
from bpfas.loader.syscall.memory import map_file

SYSFS_BTF = Path("/sys/kernel/btf")
VMLINUX_BTF = SYSFS_BTF / "vmlinux"
_UNCOMPRESSED_KERNELS = (
    "/boot/vmlinux-{release}",
    "/lib/modules/{release}/vmlinux-{release}",
    "/lib/modules/{release}/build/vmlinux",
    "/usr/lib/modules/{release}/kernel/vmlinux",
    "/usr/lib/debug/boot/vmlinux-{release}",
    "/usr/lib/debug/boot/vmlinux-{release}.debug",
    "/usr/lib/debug/lib/modules/{release}/vmlinux",
)
_ELF = b"\x7fELF"
_KERNEL_NOTES = "/sys/kernel/notes"
_NOTE = struct.Struct("=III")
_BUILD_ID = 3


@functools.cache
def running_types() -> KernelTypes | None:
    """The types of the running kernel; None where neither the kernel nor a file on the machine has them."""
    try:
        with open(VMLINUX_BTF, "rb") as file:
            data = _contents(file)
    except OSError:
        release = os.uname().release
        places = (Path(place.format(release=release)) for place in _UNCOMPRESSED_KERNELS)
        return next((types_in_file(place) for place in places if place.exists()), None)
    return KernelTypes.trusted(data, HOST_ORDER, str(VMLINUX_BTF), build_id=_build_id())


def _build_id() -> str:
    """The running kernel's build id, in hexadecimal; empty where it has none. Source: elf(5), of notes."""
    try:
        with open(_KERNEL_NOTES, "rb") as file:
            notes = file.read()
    except OSError:
        return ""
    at = 0
    while at + _NOTE.size <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, at)
        name_at = at + _NOTE.size
        contents_at = name_at + (name_size + 3) // 4 * 4
        if kind == _BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            return notes[contents_at : contents_at + size].hex()
        at = contents_at + (size + 3) // 4 * 4
    return ""


def _contents(file: BinaryIO) -> memoryview:
    """The contents of a file, without a copy of it where the kernel can do without (since Linux 6.16)."""
    try:
        return map_file(file.fileno(), os.fstat(file.fileno()).st_size)
    except OSError:
        return memoryview(file.read())


@functools.cache
def running_modules() -> tuple[KernelTypes, ...]:
    """The types of the running kernel's modules, as far as they have any, at the time of the first call."""
    base = running_types()
    if not base or not VMLINUX_BTF.exists():
        return ()
    modules = []
    for path in sorted(SYSFS_BTF.iterdir()):
        if path != VMLINUX_BTF:
            try:
                data = path.read_bytes()
            except OSError:
                continue  # unloaded meanwhile
            modules.append(ModuleTypes(path.name, data, base, str(path)))
    return tuple(modules)


def types_in_file(path: str | os.PathLike[str]) -> KernelTypes:
    """The types of the kernel that a file holds: BTF as in /sys/kernel/btf, or an ELF file with a section `.BTF`.

    Raises BpfasError if it cannot be read or is damaged.
    """
    place = os.fspath(path)
    data = _btf_bytes(place)
    return KernelTypes("vmlinux", read_btf(data, _order(data, place), place))


def module_in_file(path: str | os.PathLike[str], base: KernelTypes) -> KernelTypes:
    """The types of a module that a file holds, whose BTF was made on that of `base`.

    The module is called as the file is, without its ending. Raises BpfasError if it cannot be read or is damaged.
    """
    place = os.fspath(path)
    data = _btf_bytes(place)
    order = _order(data, place)
    if order is not base.btf.order:
        raise BpfasError.of(f"is of another byte order than {base.place}", place)
    _, types, strings = sections_of(data, order, place, is_split=True)
    words = base.btf.words
    if order is not HOST_ORDER:
        words = words[:]
        words.byteswap()
    types, strings = words.tobytes() + types, base.btf.strings + strings
    head = struct.pack(f"{order.value}HBBIIIII", MAGIC, 1, 0, HEADER_SIZE, 0, len(types), len(types), len(strings))
    joined = read_btf(head + types + strings, order, place)
    return KernelTypes(Path(place).stem, joined, first_own_id=len(base.btf) + 1)


def _btf_bytes(place: str) -> bytes:
    try:
        with open(place, "rb") as file:
            if file.read(len(_ELF)) == _ELF:
                return _section(place)
            file.seek(0)
            return file.read()
    except OSError as error:
        raise BpfasError.of(f"cannot be read: {error.strerror}", place) from error


def _section(place: str) -> bytes:
    """The section `.BTF` of an ELF file, which may be for any machine."""
    from elftools.common.exceptions import ELFError  # few read ELF files here, and the import takes long
    from elftools.elf.elffile import ELFFile

    try:
        with open(place, "rb") as file:
            section = ELFFile(file).get_section_by_name(".BTF")
            data = bytes(section.data()) if section else b""
    except (ELFError, ValueError, LookupError, struct.error) as error:
        raise BpfasError.of(f"is a damaged ELF file: {error}", place) from error
    if not data:
        remedy = (
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, or the file /sys/kernel/btf/vmlinux of one that runs"
        )
        raise BpfasError.of("has no section .BTF", place, (remedy,))
    return data


def _order(data: bytes, place: str) -> ByteOrder:
    for order in ByteOrder:
        if data[:2] == struct.pack(f"{order.value}H", MAGIC):
            return order
    raise BpfasError.of(f"is neither BTF, which begins with {MAGIC:#06x}, nor an ELF file", place)
