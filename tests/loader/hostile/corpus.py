"""The objects that are damaged: of clang, gcc and our assembler, little of each but something of everything."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bpfas.asm.assembler import assemble
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from tests.loader.proof import corpus
from tests.object_cache import compiled
from tests.peers import Peer

_FOLDER = Path(__file__).parent
_CLANG = ("--target=bpf", "-O2", "-g", "-mcpu=v4", "-fno-ident", "-I/usr/include/x86_64-linux-gnu")

_ASSEMBLED = """
    .section xdp,"ax",@progbits
    .globl program
    .type program,@function
program:
    lddw %r6, counts
    stw [%r10-4], 0
    mov %r1, %r6
    mov %r2, %r10
    add %r2, -4
    call 1
    jeq %r0, 0, 1f
    lddw %r1, total + 8
    lddw %r2, text
    ldxdw %r3, [%r1+0]
    add %r3, 1
    stxdw [%r1+0], %r3
    call helper
1:  mov %r0, 2
    exit
    .size program, . - program
    .text
    .type helper,@function
helper:
    mov %r0, 1
    exit
    .size helper, . - helper
    .section maps,"aw",@progbits
    .globl counts
    .type counts,@object
counts:
    .long 2, 4, 8, 1, 0
    .size counts, 20
    .bss
    .globl total
    .type total,@object
total:
    .skip 16
    .size total, 16
    .section .rodata,"a",@progbits
text:
    .asciz "text"
    .section license,"aw",@progbits
    .asciz "GPL"
"""


_SOURCES = ("rich", "instances", "jumps")
_OF_THE_PROOF = ("core", "kconfig", "ksyms", "maps", "references", "sections_tracing", "struct_ops")


class Hostile(NamedTuple):
    """An object to damage."""

    name: str
    data: bytes


def _by_clang(name: str) -> bytes:
    return compiled(Peer.CLANG, (_FOLDER / f"{name}.c").read_text(), *_CLANG, name=name).read_bytes()


def _assembled() -> bytes:
    return write_object(assemble(_ASSEMBLED, "assembled.s"))


def small_objects() -> list[Hostile]:
    """Objects of a few kilobytes; skips the running test without clang."""
    return [*(Hostile(name, _by_clang(name)) for name in _SOURCES), Hostile("assembled", _assembled())]


def all_objects() -> list[Hostile]:
    """Those, and objects of the proof; skips the running test without clang and gcc."""
    chosen = [proof for proof in corpus.CORPUS if proof.name in _OF_THE_PROOF]
    by_gcc = next(proof for proof in corpus.CORPUS if proof.by_gcc).object(compiler=Peer.GCC)
    return [
        *small_objects(),
        *(Hostile(proof.name, proof.object().read_bytes()) for proof in chosen),
        Hostile("gcc", by_gcc.read_bytes()),
    ]


def kernel_btf() -> bytes:
    """BTF of a small kernel that has what `rich` and `instances` ask for."""
    section = read_object(_by_clang("kernel"), "kernel.o").section(".BTF")
    assert section is not None
    return bytes(section.data)
