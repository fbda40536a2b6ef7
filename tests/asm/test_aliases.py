"""Symbols that are set to something: what a use means, and which symbol a relocation names."""

from __future__ import annotations

import pytest

from bpfas.asm import Reading, assemble
from bpfas.diag import BpfasError
from bpfas.elf.constants import SymbolBinding
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from tests.objdump.compare import assert_same_object
from tests.peers import Peer


def data(text: str) -> str:
    section = assemble(f".data\n{text}\n").section(".data")
    assert section
    return bytes(section.data).hex()


def test_a_use_means_what_the_symbol_was_set_to_then() -> None:
    assert data("a: .byte 1\nb: .byte 2\nx = a\n.byte x-a\nx = b\n.byte x-a") == "01020001"
    assert data("a: .byte 1\nx = .\nx = x + 2\n.byte x-a") == "0103"
    assert data(".set v, 5\n.byte v\n.set v, v + 1\n.byte v") == "0506"


def test_equiv_is_final() -> None:
    with pytest.raises(BpfasError, match="symbol `x` is already defined"):
        assemble(".equiv x, 5\n.equ x, 6\n")


ALIASES = """\
    .weak weak_alias
    .set weak_alias, real
    .globl global_alias
    .set global_alias, real
    .set local_alias, real
    .set behind, real+8
real:
    call weak_alias
    call global_alias
    call local_alias
    r1 = weak_alias ll
    r1 = local_alias ll
    r1 = behind ll
    exit
    .data
    .quad weak_alias, global_alias, local_alias, behind
    .long behind-real
"""


@pytest.mark.peer
@pytest.mark.parametrize("reading", [Reading.SHAPES, Reading.BATCHES])
def test_aliases_are_symbols_of_their_own(reading: Reading) -> None:
    theirs = Peer.LLVM_MC.run("-triple=bpfel", "-filetype=obj", "-", "-o", "-", stdin=ALIASES.encode()).output
    found = read_object(write_object(assemble(ALIASES, reading=reading)), "ours.o")
    expected = read_object(theirs, "theirs.o")
    for section in found.sections + expected.sections:
        section.sh_addralign = 8  # LLVM aligns no code by itself
    assert_same_object(found, expected)


def test_a_weak_alias_of_a_function_can_be_replaced() -> None:
    obj = assemble(".weak w\n.set w, real\nreal: exit\ncall w\n")
    text = obj.section(".text")
    assert text
    (relocation,) = text.relocations
    assert (relocation.symbol.name, relocation.symbol.st_bind) == ("w", SymbolBinding.WEAK)


@pytest.mark.parametrize("value", ["y - 9", "x"])
def test_what_a_symbol_cannot_be_set_to(value: str) -> None:
    with pytest.raises(BpfasError, match=r"error: x: .*"):
        assemble(f".data\ny: .long 1\n.set x, {value}\n")
