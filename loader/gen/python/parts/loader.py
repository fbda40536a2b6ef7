"""The loader program: one run makes all the bpf() calls that loading the object takes.

Its context: `struct bpf_loader_ctx` of 24 bytes, 16 for each map, 4 for each program, and on a multiple of 8 the
number of the step that failed.
"""

from __future__ import annotations

import binascii
import errno
import mmap
import os
import struct
import sys
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import LoadError, address_of, bpf

if TYPE_CHECKING:
    from collections.abc import Mapping

MAP_CREATE, PROG_LOAD, PROG_RUN = 0, 5, 10
MAP_TYPE_ARRAY, PROGRAM_TYPE_SYSCALL = 2, 31
MMAPABLE, SLEEPABLE, WITH_TOKEN = 1 << 10, 1 << 4, 1 << 16
LOADER_LICENSE = b"Dual BSD/GPL\0"
LOG_FIELDS = struct.Struct("=IIQ")  # at offset 8: level, size and address of the kernel's log
PROGRAM_STEP = "BPF_PROG_LOAD"
STEPS_WITH_LOG = (PROGRAM_STEP, "BPF_BTF_LOAD", "load the loader program")
BTF_LOG = "magic: 0x"
LAST_STANDARD_STREAM = 2
NOT_FOUND = (
    "the kernel has nothing of this name and kind: load the module that has it, use a kernel that has it, or "
    "declare it weak (__weak)"
)
HIDDEN = "this process may not look up addresses in the kernel, or the kernel hides them (kernel.kptr_restrict)"
STEP_REASONS = {  # by the command at the end of a step's words, or the verb they begin with
    ("(BPF_MAP_CREATE)", errno.E2BIG): "the map is too large for the kernel: ask for fewer entries",
    ("(BPF_MAP_CREATE)", errno.EINVAL): "the kernel does not know the map type, or does not take these sizes, "
    "entries and flags with it",
    (
        "(BPF_MAP_UPDATE_ELEM)",
        errno.EINVAL,
    ): "the kernel does not take what is put there; a map in a map has to be like the one that is declared for it",
    ("(BPF_PROG_LOAD)", errno.EACCES): "the verifier refuses it",
    (
        "(BPF_PROG_LOAD)",
        errno.EINVAL,
    ): "the verifier refuses it, or the kernel does not take its type, attach type and flags together",
    ("(BPF_PROG_LOAD)", errno.E2BIG): "the program is too large for the kernel",
    **{(verb, errno.ENOENT): NOT_FOUND for verb in ("look", "require")},
    **{(verb, errno.EPERM): HIDDEN for verb in ("look", "require")},
}
LOAD_ATTEMPTS = 5  # in all, while the kernel says EAGAIN because of signals
FIRST_LOG, LARGEST_LOG = 1 << 16, 1 << 28


def unpacked(text: str) -> bytes:
    """Bytes in base64, with `*N*` for N zeros."""
    pieces = enumerate(text.replace("\n", "").split("*"))
    return b"".join(bytes(int(piece)) if number % 2 else binascii.a2b_base64(piece) for number, piece in pieces)


class Loader:
    """The loader program of one object, for machines of one byte order.

    `steps` say in words what the steps do that can fail, by their numbers.
    """

    def __init__(
        self,
        name: str,
        byte_order: str,
        context_size: int,
        failed_step: int,
        steps: Mapping[int, str],
        instructions: str,
        data: str,
    ) -> None:
        self.name = name
        self.byte_order = byte_order
        self.instructions = instructions
        self.data = data
        self.context_size = context_size
        self.failed_step = failed_step
        self.steps = steps
        self.token_fd = 0  # of a token, by whose right the loader program is loaded

    def run(self, context: bytearray, log_level: int = 0) -> str:
        """Load the object; descriptors are in the context then. The kernel's log if `log_level` is not 0.

        Raises LoadError, and then nothing is left open; the kernel is asked a second time to have its log.
        """
        if sys.byteorder != self.byte_order:
            reason = f"it is for {self.byte_order}-endian machines, and this one is {sys.byteorder}-endian"
            raise LoadError(f"load {self.name}", errno.ENOEXEC, reason)
        if not log_level:
            try:
                self._run(context, bytearray(), 0)
            except LoadError as error:
                if not any(words in error.step for words in STEPS_WITH_LOG):
                    raise
                first = error
            else:
                return ""
        size = FIRST_LOG
        while True:
            log = bytearray(size)
            try:
                self._run(context, log, log_level or 1)
            except LoadError as error:
                if error.errno != errno.ENOSPC or size >= LARGEST_LOG:
                    text = log_text(log)
                    if PROGRAM_STEP in error.step and text.startswith(BTF_LOG):
                        text = ""  # what the step before has left, for the kernel says nothing of this one
                    raise LoadError(error.step, error.errno or 0, error.reason, text) from None
            else:
                if log_level:
                    return log_text(log)
                raise LoadError(first.step, first.errno or 0, f"{first.reason} (a second time it worked)")
            size *= 8

    def _run(self, context: bytearray, log: bytearray, log_level: int) -> None:
        """Run it, again if a signal has come in between."""
        attempts_left = LOAD_ATTEMPTS
        while True:
            attempts_left -= 1
            try:
                return self._run_once(context, log, log_level)
            except LoadError as error:
                if error.errno != errno.EAGAIN or not attempts_left:
                    raise

    def _run_once(self, context: bytearray, log: bytearray, log_level: int) -> None:
        """Make the map of the data and the program, run it once, close both."""
        started = bytearray(context)
        LOG_FIELDS.pack_into(started, 8, log_level, len(log), address_of(log))
        struct.pack_into("=I", started, 0, len(started))
        data, instructions = unpacked(self.data), unpacked(self.instructions)
        opened = standard_streams()
        try:
            opened.append(self._create_map(data, instructions))
            opened.append(self._load(instructions, opened[-1], log, log_level))
            result = self._execute(opened[-1], started)
        finally:
            for fd in opened:
                os.close(fd)
        if result < 0:
            (number,) = struct.unpack_from("=I", started, self.failed_step)
            step = self.steps.get(number, f"load {self.name}")
            raise LoadError(step, -result, step_reason(step, -result))
        context[:] = started

    def _create_map(self, data: bytes, instructions: bytes) -> int:
        """The descriptor of the map that has the data."""
        step = f"create the map of the loader program of {self.name}"
        flags = MMAPABLE | (WITH_TOKEN if self.token_fd else 0)
        numbers = (MAP_TYPE_ARRAY, 4, len(data), 1, flags, 0, 0, b"__loader.map", self.token_fd)
        attributes = struct.pack("=IIIIIII16s32xi", *numbers)
        try:
            fd = self.create_map(attributes, instructions)
        except OSError as error:
            raise LoadError(step, error.errno or 0, explained(error)) from None
        try:
            with mmap.mmap(fd, len(data)) as memory:
                memory[:] = data
            self.seal(fd)
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError):
                raise LoadError(step, error.errno or 0, explained(error)) from None
            raise
        return fd

    def create_map(self, attributes: bytes, _: bytes) -> int:
        """BPF_MAP_CREATE; signed programs say which instructions the map is for. Raises OSError."""
        return bpf(MAP_CREATE, attributes)

    def seal(self, map_fd: int) -> None:
        """What signed programs need of the map. Raises OSError."""

    def load_program(self, attributes: bytes) -> int:
        """BPF_PROG_LOAD; signed programs add their signature. Raises OSError."""
        return bpf(PROG_LOAD, attributes)

    def _load(self, instructions: bytes, map_fd: int, log: bytearray, log_level: int) -> int:
        """The descriptor of the program."""
        descriptors = struct.pack("=i", map_fd)
        attributes = struct.pack(
            "=IIQQIIQII16sIIIIQIIQIIIIQ16xi",
            PROGRAM_TYPE_SYSCALL,
            len(instructions) // 8,
            address_of(instructions),
            address_of(LOADER_LICENSE),
            log_level,
            len(log),
            address_of(log),
            0,
            SLEEPABLE | (WITH_TOKEN if self.token_fd else 0),
            b"__loader.prog",
            *(0,) * 12,
            address_of(descriptors),
            self.token_fd,
        )
        try:
            return self.load_program(attributes)
        except OSError as error:
            step = f"load the loader program of {self.name}"
            raise LoadError(step, error.errno or 0, explained(error)) from None

    def _execute(self, program_fd: int, context: bytearray) -> int:
        """What the program returns: 0, or the negative errno of the step that failed."""
        numbers = (program_fd, *(0,) * 7, len(context), 0, address_of(context), *(0,) * 4)
        attributes = bytearray(struct.pack("=IIIIQQIIIIQQIII4x", *numbers))
        try:
            bpf(PROG_RUN, attributes)
        except OSError as error:
            step = f"run the loader program of {self.name}"
            raise LoadError(step, error.errno or 0, explained(error)) from None
        result: int = struct.unpack_from("=i", attributes, 4)[0]
        return result


def standard_streams() -> list[int]:
    """Descriptors that keep the numbers of standard streams occupied, for 0 stands for none in the context."""
    opened: list[int] = []
    while (fd := os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)) <= LAST_STANDARD_STREAM:
        opened.append(fd)
    os.close(fd)
    return opened


def step_reason(step: str, number: int) -> str:
    """Why a step usually fails with this errno; empty where nothing is known beyond the errno's own words."""
    words = step.split(" ")
    return STEP_REASONS.get((words[-1], number), "") or STEP_REASONS.get((words[0], number), "")


def log_text(log: bytearray) -> str:
    """What the kernel has written up to the first NUL."""
    return bytes(log).partition(b"\0")[0].decode(errors="replace")


def explained(error: OSError) -> str:
    """The errno in words, and what to do about the usual ones."""
    words = error.strerror or ""
    if words != os.strerror(error.errno or 0):
        return words  # that says it already
    if error.errno == errno.EPERM:
        return f"{words}; this takes root, or CAP_BPF with CAP_PERFMON and what the programs want"
    if error.errno == errno.EINVAL:
        return f"{words}; loader programs take Linux 5.14, and some objects more"
    return words
