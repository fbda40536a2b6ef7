"""What directives say of symbols: references, versions, values that are found anew, names in quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.asm import Reading, assemble
from bpfas.elf.constants import ByteOrder, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.objdump.disassemble import disassemble
from tests.objdump.compare import assert_same_object, symbol_facts
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.objfile import ObjectFile


def made(text: str, reading: Reading = Reading.BEST) -> ObjectFile:
    return read_object(write_object(assemble(f"{text}\n", reading=reading)), "ours.o")


def symbols(obj: ObjectFile) -> list[tuple[object, ...]]:
    return sorted((symbol_facts(s) for s in obj.symbols if s.st_type is not SymbolType.SECTION), key=str)


SAME_AS_LLVM = {
    "set to an undefined symbol": ".set alpha, beta\n.data\n.quad alpha, alpha+4\n.type alpha, @function",
    "weak reference": ".weakref a, b\n.data\n.quad a",
    "weak reference before": ".data\n.quad a\n.weakref a, b",
    "weak reference and another": ".weakref a, b\n.data\n.quad a, b",
    "weak reference that nothing uses": ".weakref a, b",
    "weak reference to a definition": ".weakref a, b\n.data\nb: .quad a\n.text\ncall c\n.weakref c, d\nd: exit",
    "weak reference to a global": ".weakref a, b\n.globl b\n.data\n.quad a",
    "weak reference with an addend": ".weakref a, b\n.data\n.quad a+4\n.globl a",
    "weak reference to one": ".weakref a, b\n.weakref b, c\n.data\n.quad a",
    "weak reference to a weak definition": ".weakref a, b\n.weak b\n.data\nb: .quad a, b",
    "version of a local": ".symver foo, foo@V1\nfoo: exit",
    "default version": ".symver foo, foo@@V1\n.globl foo\nfoo: exit",
    "version of a reference": ".symver foo, bar@V1\n.data\n.quad foo",
    "three signs, reference": ".symver foo, bar@@@V1\n.data\n.quad foo",
    "three signs, definition": ".symver foo, bar@@@V1\n.globl foo\n.data\nfoo: .quad foo",
    "version that nothing uses": ".symver foo, bar@V1",
    "version instead of the name": ".symver foo, bar@V1, remove\n.globl foo\n.data\nfoo: .quad foo",
    "versions": ".symver foo, b@V1\n.symver foo, b@V2\n.globl foo\n.type foo,@function\n.size foo,8\nfoo: exit",
    "names in quotes": '.globl "a b"\n"a b": exit\n.set "c;d", "a b"+8\n.data\n.quad "a b"+0, "c;d"-0, ("e\\"f")',
    "several names": ".globl alpha, beta\n.hidden alpha, beta\nalpha: beta: exit",
    "the last visibility": ".hidden f\n.internal f\nf:\n.protected g, h\n.globl g, h, f\n.hidden g\ng: h: exit",
    "sizes": "f: exit\n.size f, 1f-f\n1:\n.size g, . - f\n.globl g\ng:\n.size h, 4\nh:\n.size h, . - f",
    "types": (
        ".type a,@function\n.type b,%object\n.type c,\"function\"\n.type d STT_FUNC\n.type e,STT_TLS\n"
        ".type f,@common\n.type g,@notype\n.type i,@gnu_indirect_function\n.type j,STT_GNU_IFUNC\n"
        "a:b:c:d:e:f:g:i:j: exit"
    ),
    "size of an alias": "f: exit\n.type f, @function\n.size f, .-f\n.set g, f\n.set h, f+8\n.set i, f\n.size i, 4",
    "common symbols": ".comm alpha, 5,1\n.comm beta,5,16\n.weak gamma\n.comm gamma,3,8\n.hidden beta",
    "local common symbols": ".local alpha\n.comm alpha,5,1\n.local beta\n.comm beta,8,8\n.lcomm gamma,8",
}  # fmt: skip


@pytest.mark.peer
@pytest.mark.parametrize("reading", Reading)
@pytest.mark.parametrize("name", SAME_AS_LLVM)
def test_symbols_are_llvm_s(name: str, reading: Reading) -> None:
    source = f"{SAME_AS_LLVM[name]}\n"
    done = Peer.LLVM_MC.run("-triple=bpfel", "-filetype=obj", "-", "-o", "-", stdin=source.encode())
    found, expected = made(source, reading), read_object(done.output, "theirs.o")
    # A symbol that is only set to another object's leaves nothing here.
    unused = {symbol.name for symbol in expected.symbols} - {symbol.name for symbol in found.symbols}
    assert unused <= {"unused"}
    for section in found.sections + expected.sections:
        section.sh_addralign = 8  # LLVM aligns no code by itself
    assert_same_object(found, expected)


SAME_AS_GNU = {
    "evaluated at use": "alpha == beta+1\nbeta=1\n.data\n.byte alpha\n.eqv gamma, .\n.long gamma",
    "evaluated at use, global": ".globl alpha\n.data\nbeta: .byte 1\n.eqv alpha, beta+4",
    "evaluated at the end": ".eqv alpha, .\n.data\n.zero 3",
    "old name of set": ".lsym alpha, 5\n.data\n.byte alpha",
    "common symbols": ".comm gamma 5,1\n.common delta,5,4\n.comm epsilon,4,4\n.comm epsilon,4,8",
    "types by number": ".type a,2\n.type b,@1\na: b: exit",
    "version that makes the name local": ".symver foo, bar@V1, local\n.globl foo\nfoo: exit",
    "version that hides the name": ".symver foo, bar@V1, hidden\n.globl foo\nfoo: exit",
    "set to an undefined symbol": ".set alpha, beta\n.data\n.quad alpha+4",
}


@pytest.mark.peer
@pytest.mark.parametrize("name", SAME_AS_GNU)
def test_symbols_are_gnu_s(name: str, tmp_path: Path) -> None:
    source, path = tmp_path / "prog.s", tmp_path / "prog.o"
    source.write_text(f"{SAME_AS_GNU[name]}\n")
    Peer.GNU_AS.run("-EL", source, "-o", path)
    found, expected = made(SAME_AS_GNU[name]), read_object(path.read_bytes(), "gnu.o")
    assert symbols(found) == symbols(expected)
    data, theirs = found.section(".data"), expected.section(".data")
    assert data is None or (theirs and (data.relocations or bytes(data.data) == bytes(theirs.data)))


@pytest.mark.parametrize("name", [*SAME_AS_LLVM])
def test_a_disassembly_gives_the_symbols_again(name: str) -> None:
    obj = made(SAME_AS_LLVM[name])
    assert_same_object(made("\n".join(disassemble(obj, everything=True))), obj)


def test_each_use_of_an_equivalence_means_its_place() -> None:
    (section,) = made(".eqv here, . - start\n.data\nstart: .byte here\n.byte here, here\n").sections
    assert bytes(section.data) == b"\0\1\2"


def test_an_equivalence_follows_what_it_is_made_of() -> None:
    (section,) = made('"a b" == beta + 1\nbeta = 1\n.data\n.byte "a b"+0\nbeta = 2\n.byte "a b"+0').sections
    assert bytes(section.data) == b"\2\3"


def test_equivalences_of_one_another_take_no_longer_for_being_many() -> None:
    names = "".join(f".eqv x{number}, x{number - 1} + x{number - 1} - x0\n" for number in range(1, 60))
    (section,) = made(f"{names}.eqv x0, end - start\n.data\nstart: .byte x59\nend:").sections
    assert bytes(section.data) == b"\1"


def test_a_helper_under_another_name_is_called_by_number() -> None:
    (section,) = made(".set lookup, bpf_map_lookup_elem\ncall lookup\n").sections
    assert (bytes(section.data).hex(), section.relocations) == ("8500000001000000", [])


@pytest.mark.parametrize("order", ByteOrder)
def test_quoted_names_are_operands(order: ByteOrder) -> None:
    text = 'call "x y"\nr1 = "x y" ll\nja "there"\n"there": exit\nlddw %r1, "x y"+8\n'
    obj = assemble(text, byte_order=order)
    section = obj.section(".text")
    assert section
    assert [relocation.symbol.name for relocation in section.relocations] == ["x y"] * 3
    assert obj.symbol("there")
