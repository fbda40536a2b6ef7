"""An object that has something of everything, to put wrong numbers into, and links of it with limits."""

from __future__ import annotations

import contextlib
import io
import resource
import signal
import struct
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.asm.assembler import assemble
from bpfas.btf.ext import BtfExt, Records, write_btf_ext
from bpfas.btf.kinds import Kind, Linkage, info_word
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.cli import main
from bpfas.objfile import Section

if TYPE_CHECKING:
    from collections.abc import Iterator


_MOST_MEMORY = 1 << 30
"""Bytes of address space that a link of a few kilobytes may take."""

_MOST_SECONDS = 30
"""Nothing here takes a hundredth of it; a link that does not end shall fail."""

_MAIN = """
    .section xdp,"ax",@progbits
    .globl program
    .type program,@function
program:
    lddw %r1, counter
    lddw %r2, text + 4
    call helper
    call far
    call maybe
    exit
    .size program, . - program

    .text
    .globl maybe
    .weak maybe
    .type maybe,@function
maybe:
    exit
    .size maybe, 8
    .type helper,@function
helper:
    lddw %r1, shared
    exit
    .size helper, . - helper

    .section grouped,"axG",@progbits,signature,comdat
    .weak signature
    .type signature,@function
signature:
    exit
    .size signature, 8

    .data
    .globl counter
    .type counter,@object
counter:
    .quad 1
    .size counter, 8
    .quad counter
    .bss
    .skip 16
    .comm shared, 8, 8
    .section .rodata.str1.1,"aMS",@progbits,1
text:
    .asciz "one"
    .asciz "two"
    .section license,"aw",@progbits
    .asciz "GPL"
    .section .debug_str,"MS",@progbits,1
debug_text:
    .asciz "name"
    .section .debug_info,"",@progbits
    .long debug_text
    .quad helper
    .addrsig
    .addrsig_sym counter
"""

_OTHER = """
    .text
    .globl far
    .type far,@function
far:
    exit
    .size far, 8
    .globl maybe
    .type maybe,@function
maybe:
    mov %r0, 1
    exit
    .size maybe, 16
    .section grouped,"axG",@progbits,signature,comdat
    .weak signature
signature:
    exit
    .section license,"aw",@progbits
    .asciz "GPL"
"""


def main_object(order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    """A file with code, data, a group, strings, types and debugging information."""
    obj = assemble(_MAIN, "main.s", order)
    strings = ["", "int", "node", "next", "program", "counter", ".data", "helper", "far", "maybe", "main.c", "xdp"]
    offsets = {text: sum(len(before) + 1 for before in strings[:at]) for at, text in enumerate(strings)}
    records = (
        ("int", info_word(Kind.INT), 4, (0x01000020,)),  # 1
        ("", info_word(Kind.PTR), 3, ()),
        ("node", info_word(Kind.STRUCT, 2), 16, (offsets["next"], 2, 0, offsets["int"], 4, 64)),  # 3
        ("int", info_word(Kind.TYPEDEF), 1, ()),
        ("", info_word(Kind.FUNC_PROTO, 1), 1, (offsets["next"], 2)),  # 5
        ("program", info_word(Kind.FUNC, Linkage.GLOBAL), 5, ()),
        ("helper", info_word(Kind.FUNC, Linkage.STATIC), 5, ()),
        ("far", info_word(Kind.FUNC, Linkage.EXTERN), 5, ()),
        ("maybe", info_word(Kind.FUNC, Linkage.GLOBAL), 5, ()),
        ("counter", info_word(Kind.VAR), 4, (Linkage.GLOBAL,)),  # 10
        (".data", info_word(Kind.DATASEC, 1), 0, (10, 0, 8)),
        ("", info_word(Kind.ARRAY), 0, (3, 1, 4)),
        ("next", info_word(Kind.FWD), 0, ()),
    )
    words = [word for name, info, third, rest in records for word in (offsets[name], info, third, *rest)]
    types = struct.pack(f"{order.value}{len(words)}I", *words)
    text = "\0".join([*strings, ""]).encode()
    header = struct.pack(f"{order.value}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(text))
    line = (0, offsets["main.c"], offsets["program"], 5 << 10 | 1)
    ext = BtfExt(
        {"xdp": Records(8, array("I", (0, 6)))},
        {"xdp": Records(16, array("I", line))},
        {"xdp": Records(16, array("I", (0, 3, offsets["int"], 0)))},
    )
    obj.sections += (
        Section(".BTF", sh_addralign=4, data=header + types + text),
        Section(".BTF.ext", sh_addralign=4, data=write_btf_ext(ext, order, offsets.__getitem__)),
    )
    return write_object(obj)


def other_object(order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    """The file that the other one is linked with."""
    return write_object(assemble(_OTHER, "other.s", order))


class Linker:
    """Links files that may be hostile: that gives an object or an error, soon and with little memory."""

    def __init__(self, directory: Path) -> None:
        self.hostile, self.other, self.output = (directory / name for name in ("hostile.o", "other.o", "out.o"))
        self.other.write_bytes(other_object())

    def link(self, data: bytes, *options: str) -> str:
        """What the command says of a file with these contents, when it refuses it; empty if it links it."""
        # File systems may wait for the disk where a file's contents are replaced, but not for a new file.
        self.hostile.unlink(missing_ok=True)
        self.hostile.write_bytes(data)
        self.output.unlink(missing_ok=True)
        errors = io.TextIOWrapper(io.BytesIO(), errors="backslashreplace")  # as standard error is
        with bounded(), contextlib.redirect_stderr(errors):
            status = main([*options, str(self.hostile), str(self.other), "-o", str(self.output)])
        errors.seek(0)
        said = errors.read()
        assert "Traceback" not in said
        if status == 0:
            read_object(self.output.read_bytes(), "out.o")  # what we write we can read
            return ""
        assert status == 1
        assert "error: " in said
        assert "not enough memory" not in said
        assert "nested too deeply" not in said
        assert not self.output.exists()
        return said


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Let what takes very much memory or time fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _MOST_MEMORY, hard))
    previous = signal.signal(signal.SIGALRM, _out_of_time)
    signal.alarm(_MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _out_of_time(*_: object) -> None:
    raise TimeoutError("the link does not end")
