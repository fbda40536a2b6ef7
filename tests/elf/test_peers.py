"""Files of ours in the hands of other readers, and files of other writers in ours."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SymbolBinding
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.reloc import RelocationNumber
from tests.elf.samples import sample
from tests.elf.strategies import essence
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

C_SOURCE = """
static int calls = 3;
int total;
extern int other(int);
__attribute__((noinline)) static int twice(int x) { calls++; return x * 2 + total; }
__attribute__((section("xdp"))) int prog(void *ctx) { return twice(calls) + other(total); }
char LICENSE[] __attribute__((section("license"))) = "GPL";
"""


@pytest.fixture(params=ByteOrder)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of ours, in either byte order."""
    path = tmp_path / "sample.o"
    path.write_bytes(write_object(sample(request.param)))
    return path


@pytest.fixture(params=["bpfel", "bpfeb"])
def compiled(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that clang wrote, with BTF and DWARF, in either byte order."""
    path = tmp_path / "clang.o"
    Peer.CLANG.run(
        f"--target={request.param}", "-g", "-O2", "-c", "-x", "c", "-", "-o", path, stdin=C_SOURCE.encode()
    )
    return path


def test_pyelftools_reads_what_we_write(written: Path) -> None:
    elf = ELFFile(io.BytesIO(written.read_bytes()))
    relocations, table = elf.get_section_by_name(".relxdp"), elf.get_section_by_name(".symtab")
    assert isinstance(relocations, RelocationSection)
    assert isinstance(table, SymbolTableSection)
    names = [table.get_symbol(reloc["r_info_sym"]).name for reloc in relocations.iter_relocations()]
    assert elf["e_machine"] == "EM_BPF"
    assert names == ["counter", "helper"]


@pytest.mark.peer
@pytest.mark.parametrize("tool", [Peer.LLVM_READELF, Peer.GNU_READELF])
def test_readelf_has_nothing_to_complain_of(tool: Peer, written: Path) -> None:
    result = tool.run("-aW", written)
    assert result.errors == ""
    # Relocation 10 has another name in binutils before 2.42.
    assert re.search(r"0+10 +0+30000000a .* helper", result.text)


@pytest.mark.peer
def test_llvm_disassembles_what_we_write(written: Path) -> None:
    text = Peer.LLVM_OBJDUMP.run("-dr", written).text
    assert "R_BPF_64_64\tcounter" in text
    assert "call -0x1" in text
    assert "R_BPF_64_32\thelper" in text


# Debian 12's bpftool links little-endian objects only.
@pytest.mark.peer
@pytest.mark.parametrize("compiled", ["bpfel"], indirect=True)
def test_bpftool_links_a_file_of_clang_that_we_have_rewritten(compiled: Path, tmp_path: Path) -> None:
    rewritten = tmp_path / "rewritten.o"
    rewritten.write_bytes(write_object(read_object(compiled.read_bytes(), "clang.o")))
    from_clang, from_ours = tmp_path / "1.o", tmp_path / "2.o"
    Peer.BPFTOOL.run("gen", "object", from_clang, compiled)
    Peer.BPFTOOL.run("gen", "object", from_ours, rewritten)
    assert from_ours.read_bytes() == from_clang.read_bytes()


@pytest.mark.peer
def test_a_file_of_clang_is_read_whole(compiled: Path) -> None:
    obj = read_object(compiled.read_bytes(), "clang.o")
    program = obj.section("xdp")
    assert program is not None
    assert {"calls", "total", "other", "twice", "prog", "LICENSE"} <= {symbol.name for symbol in obj.symbols}
    first = program.relocations[0]
    assert (first.r_type, first.symbol.section) == (RelocationNumber.R_BPF_64_64, obj.section(".data"))
    assert all(obj.section(name) is not None for name in (".BTF", ".BTF.ext", ".debug_info", ".llvm_addrsig"))


@pytest.mark.peer
@pytest.mark.parametrize("compiled", ["bpfel"], indirect=True)
def test_a_file_of_clang_truncated_anywhere_never_gives_anything_but_an_error(compiled: Path) -> None:
    whole = compiled.read_bytes()
    for length in range(0, len(whole), 3):
        with pytest.raises(BpfasError):
            read_object(whole[:length], "clang.o")


@pytest.mark.peer
@pytest.mark.parametrize("compiled", ["bpfel"], indirect=True)
def test_symbols_out_of_order_are_read(compiled: Path, tmp_path: Path) -> None:
    # libbpf's linker mixes local and global symbols and leaves sh_info 0.
    linked = tmp_path / "linked.o"
    Peer.BPFTOOL.run("gen", "object", linked, compiled)
    obj = read_object(linked.read_bytes(), "linked.o")
    program = obj.symbol("prog")
    assert program is not None
    assert program.st_bind is SymbolBinding.GLOBAL
    again = read_object(write_object(obj), "linked.o")
    assert essence(again) == essence(obj)
