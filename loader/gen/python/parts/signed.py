"""Loader programs that are made to be signed: nobody can change them or their data on the way to the kernel.

The map with the data is frozen, and may be used by programs with these instructions only. The kernel verifies the
signature with the keys of a keyring.
"""

from __future__ import annotations

import errno
import hashlib
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import LoadError, address_of, bpf
from bpfas.loader.gen.python.parts.loader import Loader, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNED_MAP_CREATE, SIGNED_PROG_LOAD, SIGNED_MAP_INFO, MAP_FREEZE = 0, 5, 15, 22
SHA256_SIZE = 32
HASH_IN_MAP_INFO = 88  # where struct bpf_map_info has the address of the hash, and its size behind that
KEYRINGS = {
    "builtin": 0,
    "secondary": 1,
    "platform": 2,
    "thread": -1,
    "process": -2,
    "session": -3,
    "user": -4,
    "user-session": -5,
    "bpf": -9,
}


class SignedLoader(Loader):
    """A loader program that is to be signed; `signature` is empty for one that is not signed yet.

    It is verified if a `keyring` is set: a word (session, user, builtin, ...) or a serial number. `fixed` are the
    places of maps in the context, which cannot be told anything. Where the kernel does not hash the data by
    itself (`is_hashed`), it is asked to.
    """

    keyring: str | int | None = None

    def __init__(
        self,
        name: str,
        byte_order: str,
        context_size: int,
        failed_step: int,
        steps: Mapping[int, str],
        instructions: str,
        data: str,
        signature: str,
        is_hashed: bool,
        fixed: Mapping[int, str],
    ) -> None:
        super().__init__(name, byte_order, context_size, failed_step, steps, instructions, data)
        self.signature = signature
        self.is_hashed = is_hashed
        self.fixed = fixed

    def run(self, context: bytearray, log_level: int = 0) -> str:
        """As without a signature. Raises LoadError as well where something is changed that is signed."""
        for entry, name in self.fixed.items():
            given, entries, address = struct.unpack_from("=iIQ", context, entry)
            if not given and (entries or address):
                reason = "its size and its first contents are signed, and cannot be changed"
                raise LoadError(f"load {self.name} with another map {name}", errno.EPERM, reason)
        try:
            return super().run(context, log_level)
        except LoadError as error:
            if error.step != f"load {self.name}" or error.errno != errno.EINVAL:
                raise
            raise LoadError(error.step, errno.EINVAL, "its data is not that which was signed") from None

    def create_map(self, attributes: bytes, instructions: bytes) -> int:
        """BPF_MAP_CREATE of a map for one program alone. Raises OSError."""
        digest = hashlib.sha256(instructions).digest()
        return bpf(SIGNED_MAP_CREATE, attributes + struct.pack("=QIxxxx", address_of(digest), len(digest)))

    def seal(self, map_fd: int) -> None:
        """Freeze the map, and have the kernel hash it. Raises OSError."""
        bpf(MAP_FREEZE, struct.pack("=I", map_fd))
        if not self.is_hashed:
            digest = bytearray(SHA256_SIZE)
            info = bytearray(HASH_IN_MAP_INFO) + struct.pack("=QI4x", address_of(digest), len(digest))
            bpf(SIGNED_MAP_INFO, struct.pack("=IIQ", map_fd, len(info), address_of(info)))

    def load_program(self, attributes: bytes) -> int:
        """BPF_PROG_LOAD with the signature. Raises OSError."""
        if self.keyring is None or not self.signature:
            return bpf(SIGNED_PROG_LOAD, attributes)
        keyring = KEYRINGS.get(self.keyring) if isinstance(self.keyring, str) else self.keyring
        if keyring is None:
            raise OSError(errno.EINVAL, f"the keyring is {self.keyring!r}, and is to be of {', '.join(KEYRINGS)}")
        signature = unpacked(self.signature)
        count = 1 if self.is_hashed else 0
        tail = struct.pack("=IQIi", count, address_of(signature), len(signature), keyring)
        try:
            return bpf(SIGNED_PROG_LOAD, attributes + tail)
        except OSError as error:
            hints = {
                errno.EKEYREJECTED: "the signature is not one of these instructions and data",
                errno.ENOKEY: "the key that has signed it is not in the keyring",
                errno.EBADMSG: "the signature is damaged",
                errno.E2BIG: "this kernel verifies no signatures of programs (Linux 6.18)",
                errno.EOPNOTSUPP: "this kernel verifies no signatures (CONFIG_SYSTEM_DATA_VERIFICATION)",
            }
            raise OSError(error.errno, hints.get(error.errno or 0, error.strerror)) from None
