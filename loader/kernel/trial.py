"""Trying something on the running kernel: the smallest programs, maps and types, loaded and closed at once.

Nothing is left behind. What is made of the kernel's answer is the caller's.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind, info_word
from bpfas.btf.reader import HEADER_SIZE, MAGIC, VERSION
from bpfas.elf.constants import HOST_ORDER
from bpfas.isa import BY_NAME, Instruction, encode
from bpfas.loader import syscall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bpfas.loader.syscall import ProgramLoad

_LOG_SIZE = 1 << 16


class Answer(NamedTuple):
    """The kernel's answer: 0 or an errno, and what it logged if it was asked to."""

    errno: int
    log: str = ""

    @property
    def took_it(self) -> bool:
        """Whether the kernel did what was asked for."""
        return not self.errno


def instruction(name: str, **operands: int) -> bytes:
    """An instruction of the table by its name there, in this machine's byte order."""
    return encode(Instruction(BY_NAME[name], **operands), HOST_ORDER)


EXIT = instruction("exit")
RETURN_0 = instruction("mov_imm", dst=0, imm=0) + EXIT


@contextlib.contextmanager
def closing(fd: int) -> Iterator[int]:
    """A descriptor, closed at the end."""
    try:
        yield fd
    finally:
        os.close(fd)


def answer_of(call: Callable[[], int]) -> Answer:
    """What a call that gives a descriptor answers; the descriptor is closed."""
    try:
        os.close(call())
    except OSError as error:
        return Answer(error.errno or 0)
    return Answer(0)


def try_program(load: ProgramLoad, *, with_log: bool = False) -> Answer:
    """What loading a program answers."""
    log = syscall.LogBuffer(_LOG_SIZE) if with_log else None
    answer = answer_of(lambda: syscall.prog_load(load, log))
    return Answer(answer.errno, log.text) if log else answer


def try_btf(data: bytes, token_fd: int = 0) -> Answer:
    """What loading BTF answers."""
    return answer_of(lambda: syscall.btf_load(data, token_fd=token_fd))


def record(kind: Kind, name: int = 0, third: int = 0, *rest: int, vlen: int = 0, kflag: bool = False) -> list[int]:
    """The words of a BTF record; `name` is an offset in the strings, `third` a size or a type."""
    return [name, info_word(kind, vlen, kflag=kflag), third, *rest]


def btf_bytes(records: Sequence[Sequence[int]], names: Sequence[str], layout: bytes = b"") -> bytes:
    """BTF of these records. A name's place in the strings is the sum of those before it and their NULs, plus 1."""
    types = b"".join(struct.pack(f"={len(words)}I", *(word & 0xFFFFFFFF for word in words)) for words in records)
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    header_size = HEADER_SIZE + (8 if layout else 0)
    header = struct.pack(
        "=HBBIIIII", MAGIC, VERSION, 0, header_size, 0, len(types), len(types) + len(layout), len(strings)
    )
    if layout:
        header += struct.pack("=II", len(types), len(layout))
    return header + types + layout + strings
