"""Programs: their descriptors, runs for a test, pins; how they are attached is in their classes."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import ENOTSUPP, AttachError, BpfError, address_of, bpf
from bpfas.loader.gen.python.parts.links import pin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bpfas.loader.gen.python.parts.links import Link

PROG_TEST_RUN = 10
HEADROOM = 512  # bytes by which a program may make a packet longer


class TestRun:
    """What a run for a test gives; `duration` is in nanoseconds for each repetition."""

    def __init__(self, retval: int, data: bytes, context: bytes, duration: int) -> None:
        self.retval = retval
        self.data = data
        self.context = context
        self.duration = duration

    def __repr__(self) -> str:
        return f"<TestRun: returned {self.retval}>"


class Program:
    """A program of the object; `fd` is its descriptor, -1 while it is not loaded.

    `section` is what the object has it in, `target` what that is attached to. `links` are its attachments, which
    end with the object.
    """

    attach_type = 0
    attaches_by_section = False
    choices: Mapping[str, Iterable[str]] = {}  # what attach() takes for parameters that are one of a few words

    def __init__(
        self,
        name: str,
        entry: int,
        section: str,
        target: str = "",
        attach_type: int = 0,
        is_loaded: bool = True,
    ) -> None:
        self.name = name
        self.section = section
        self.target = target
        self.attach_type = attach_type
        self.fd = -1
        self.links: list[Link] = []
        self._entry = entry
        self._is_loaded = is_loaded
        self._is_wanted = is_loaded

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {f'descriptor {self.fd}' if self.fd >= 0 else 'not loaded'}>"

    @property
    def autoload(self) -> bool:
        """Whether it is loaded; to be set before loading."""
        return self._is_wanted

    @autoload.setter
    def autoload(self, is_wanted: bool) -> None:
        if is_wanted and not self._is_loaded:
            raise ValueError(f"program {self.name} is not in the loader program: it was made without it")
        self._is_wanted = is_wanted

    def prepare(self, context: bytearray) -> None:
        """Tell the loader program if it is not to be loaded."""
        if self._is_loaded and not self._is_wanted:
            struct.pack_into("=i", context, self._entry, -1)

    def take(self, context: bytearray) -> None:
        """Own the descriptor that the loader program has made."""
        (fd,) = struct.unpack_from("=i", context, self._entry)
        self.fd = fd if fd > 0 else -1

    def finish(self) -> None:
        """Nothing is left to do once it is loaded."""

    def close(self) -> None:
        """End its attachments and close it."""
        try:
            self.detach()
        finally:
            fd, self.fd = self.fd, -1
            if fd >= 0:
                os.close(fd)

    def detach(self) -> None:
        """End its attachments. Raises AttachError."""
        while self.links:
            self.links.pop().close()

    def attached(self, link: Link) -> Link:
        """The link, which from now on ends with the program."""
        self.links.append(link)
        return link

    def descriptor(self) -> int:
        """`fd`, for attaching. Raises AttachError where it is not loaded."""
        if self.fd < 0:
            raise AttachError(f"attach {self.name}", errno.EBADF, "it is not loaded: load() comes first")
        return self.fd

    def test_run(
        self, data: bytes = b"", context: bytes = b"", repeat: int = 0, flags: int = 0, room: int | None = None
    ) -> TestRun:
        """Run it with `data` (a packet) and `context` (the struct that it is given), if its type permits.

        Gives `retval`, and `data` and `context` as they are afterwards; `room` is how many bytes of data come back
        at most. Raises BpfError.
        """
        data_out = bytearray((len(data) + HEADROOM if room is None else room) if data else 0)
        given, given_context = bytes(data), bytearray(context)
        context_out = bytearray(len(context) if data else 0)  # others than packets' are changed where they are
        attributes = bytearray(
            struct.pack(
                "=IIIIQQIIIIQQIII4x",
                max(self.fd, 0),
                *(0, len(given), len(data_out), address_of(given), address_of(data_out), repeat, 0),
                *(len(context), len(context_out), address_of(given_context), address_of(context_out), flags, 0, 0),
            )
        )
        try:
            if self.fd < 0:
                raise OSError(errno.EBADF, "it is not loaded: load() comes first")
            bpf(PROG_TEST_RUN, attributes)
        except OSError as error:
            reason = "programs of this type cannot be run so" if error.errno == ENOTSUPP else error.strerror or ""
            raise BpfError(f"run {self.name}", error.errno or 0, reason) from None
        _, retval, _, data_size, _, _, _, duration = struct.unpack_from("=IIIIQQII", attributes)
        return TestRun(
            retval, bytes(data_out[:data_size]), bytes(context_out if data else given_context), duration
        )

    def pin(self, path: str) -> None:
        """Keep it under a name in a BPF file system. Raises BpfError."""
        if self.fd < 0:
            raise BpfError(f"pin program {self.name} at {path}", errno.EBADF, "it is not loaded")
        pin(self.fd, path, f"program {self.name}")
