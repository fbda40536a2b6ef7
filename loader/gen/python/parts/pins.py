"""Maps that are shared under names in a BPF file system."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError, LoadError, address_of, bpf
from bpfas.loader.gen.python.parts.links import pin

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.maps import Map

PIN_GET, PIN_INFO = 7, 15
PIN_INFO_SIZE = 88  # of struct bpf_map_info with map_extra
RING_BUFFERS, DEVICES, ARENA = (27, 31), (14, 25), 33  # types of maps
DEFINED_LIKE = ("type", "key size", "value size", "max entries", "flags", "map_extra")


class Pin:
    """Where a map is pinned: what is there is used, and what is not is pinned once it is loaded.

    `definition` is type, sizes of key and value, number of entries, flags, map_extra, as in struct bpf_map_info.
    """

    def __init__(self, owner: Map, entry: int, path: str, definition: tuple[int, int, int, int, int, int]) -> None:
        self.map = owner
        self.path = path
        self._entry = entry
        self._definition = definition
        self._fd = -1
        self._is_new = False
        self._is_made = False

    def prepare(self, context: bytearray) -> None:
        """Look for the map, and give it to the loader program. Raises LoadError."""
        self._fd = self._open()
        self._is_new = self._fd < 0
        if self._fd >= 0:
            self._compare(context)
            self.map.is_shared = True
            struct.pack_into("=i", context, self._entry, self._fd)

    def _open(self) -> int:
        name = os.fsencode(self.path) + b"\0"
        try:
            return bpf(PIN_GET, struct.pack("=QII", address_of(name), 0, 0))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return -1
            raise LoadError(f"open the map at {self.path}", error.errno or 0) from None

    def _compare(self, context: bytearray) -> None:
        """What is pinned must be like the map that would be made. Raises LoadError."""
        step = f"use the map at {self.path}"
        if os.readlink(f"/proc/self/fd/{self._fd}") != "anon_inode:bpf-map":
            raise LoadError(step, errno.EINVAL, "it is no map")
        info = bytearray(PIN_INFO_SIZE)
        bpf(PIN_INFO, struct.pack("=IIQ", self._fd, len(info), address_of(info)))
        map_type, _, key_size, value_size, entries, flags = struct.unpack_from("=IIIIII", info)
        found = (
            map_type,
            key_size,
            value_size,
            entries,
            flags,
            *struct.unpack_from("=Q", info, PIN_INFO_SIZE - 8),
        )
        given = struct.unpack_from("=I", context, self._entry + 4)[0]
        size = given or self._definition[3]
        if map_type in RING_BUFFERS:
            size = max(mmap.PAGESIZE, 1 << (size - 1).bit_length())  # as they are made
        wanted = (*self._definition[:3], size, *self._definition[4:])
        if map_type in DEVICES:  # the kernel gives maps of devices a flag of its own
            found = (*found[:4], flags & ~(1 << 7) | wanted[4] & 1 << 7, found[5])
        if map_type == ARENA and not wanted[5]:
            found = (*found[:5], 0)  # it lies where whoever made it wanted it to
        faults = [
            f"its {DEFINED_LIKE[index]} is {found[index]}, not {wanted[index]}"
            for index in range(len(wanted))
            if found[index] != wanted[index]
        ]
        if faults:
            raise LoadError(step, errno.EINVAL, f"{'; '.join(faults)} (rm {self.path} removes it)")

    def take(self, _: bytearray) -> None:
        """The map owns the descriptor from now on."""
        self._fd = -1

    def finish(self) -> None:
        """Pin a new map. Raises LoadError."""
        if not self._is_new or self.map.fd < 0:
            return
        directory = os.path.dirname(self.path)
        if not os.path.isdir(directory):
            os.mkdir(directory, 0o700)
        try:
            pin(self.map.fd, self.path, f"map {self.map.name}")
        except BpfError as error:
            raise LoadError(error.step, error.errno or 0, error.reason) from None
        self._is_made = True

    def undo(self) -> None:
        """Take a new pin away, as something else has failed."""
        if self._is_made:
            os.unlink(self.path)
            self._is_made = False

    def close(self) -> None:
        """Close what nobody has taken."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
