"""A loader program as an object that other loaders load, and whose program they run."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

import pytest

from bpfas import assemble
from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.loader import load, open_image, syscall
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.files.elf_object import DATA_NAME, DATA_SECTION, elf_object
from bpfas.loader.gen.loader_program import LoaderProgram, Scheme
from bpfas.reloc import RelocationNumber
from tests.loader.gen.files.test_raw_file import SOURCE
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, __u64); }
    counts SEC(".maps");
int threshold = 7;
SEC("xdp") int prog(struct xdp_md *ctx) { __u32 key = 1; __u64 value = threshold;
    bpf_map_update_elem(&counts, &key, &value, 0); return XDP_PASS; }
"""


@pytest.fixture
def app(compile_c: Callable[..., str]) -> LoaderProgram:
    return generate(open_image(compile_c(APP, "-g")))


def check_context(program: LoaderProgram, retval: int, context: bytes) -> None:
    """What the program has put into its context: maps and programs, which are closed."""
    assert retval == 0
    fds = [struct.unpack_from("=i", context, entry.offset)[0] for entry in program.context.maps]
    assert [syscall.map_info(fd).name for fd in fds] == ["counts", "app.data"]
    (loaded,) = (struct.unpack_from("=i", context, entry.offset)[0] for entry in program.context.programs)
    assert syscall.prog_test_run(loaded, bytes(64), 64, b"", 0, 1).retval == 2
    assert syscall.map_lookup_elem(fds[0], struct.pack("=I", 1), 8) == struct.pack("=Q", 7)
    for fd in (*fds, loaded):
        os.close(fd)


def initial_context(program: LoaderProgram) -> bytes:
    return struct.pack("=I", program.context.size).ljust(program.context.size, b"\0")


@pytest.mark.kernel
@pytest.mark.peer
@pytest.mark.usefixtures("no_leaks")
def test_our_loader_loads_it_and_its_program_runs(app: LoaderProgram) -> None:
    with load(elf_object(app)) as collection:
        assert list(collection.maps) == [DATA_SECTION]
        result = collection.programs["load"].test_run(ctx=initial_context(app))
        check_context(app, result.retval, result.context)


@pytest.mark.kernel
@pytest.mark.peer
@pytest.mark.usefixtures("no_leaks")
def test_libbpf_loads_it_and_its_program_runs(app: LoaderProgram, tmp_path: Path) -> None:
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        pytest.skip("libbpf.so.1 is not installed")
    path = tmp_path / "app.loader.o"
    path.write_bytes(elf_object(app))
    libbpf.bpf_object__open_file.restype = libbpf.bpf_object__find_program_by_name.restype = ctypes.c_void_p
    opened = ctypes.c_void_p(libbpf.bpf_object__open_file(str(path).encode(), None))
    assert opened.value
    try:
        assert libbpf.bpf_object__load(opened) == 0
        found = ctypes.c_void_p(libbpf.bpf_object__find_program_by_name(opened, b"load"))
        run = syscall.prog_test_run(libbpf.bpf_program__fd(found), b"", 0, initial_context(app), 0, 0)
        check_context(app, run.retval, run.context)
    finally:
        libbpf.bpf_object__close(opened)


@pytest.mark.peer
@pytest.mark.parametrize("peer", [Peer.LLVM_OBJDUMP, Peer.GNU_OBJDUMP])
def test_other_tools_show_it(app: LoaderProgram, peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "app.loader.o"
    path.write_bytes(elf_object(app))
    text = peer.run("-d", "-r", path).output.decode()
    assert "<load>:" in text
    assert DATA_NAME in text
    assert "unknown" not in text


def test_the_instructions_name_the_data_by_relocations() -> None:
    program = generate(open_image(assemble(SOURCE, name="small.o")))
    obj = read_object(elf_object(program), "small.loader.o")
    text, data = obj.section("syscall"), obj.section(DATA_SECTION)
    assert text is not None
    assert data is not None
    assert bytes(data.data) == program.data
    assert {each.r_type for each in text.relocations} == {RelocationNumber.R_BPF_64_64}
    assert {each.symbol.name for each in text.relocations} == {DATA_NAME}
    restored = bytearray(text.data)
    for each in text.relocations:
        start = each.r_offset
        restored[start + 12 : start + 16] = restored[start + 4 : start + 8]
        restored[start + 4 : start + 8] = bytes(4)
        restored[start + 1] |= 6 << 4
    assert bytes(restored) == program.instructions


def test_what_is_to_be_signed_is_refused() -> None:
    image = open_image(assemble(SOURCE, name="small.o"))
    for scheme in Scheme:
        with pytest.raises(BpfasError, match="cannot be an ELF object"):
            elf_object(generate(image, GenOptions(scheme=scheme)))


def test_instructions_that_are_cut_off(compile_c: Callable[..., str]) -> None:
    program = generate(open_image(compile_c('SEC("socket") int prog(void *ctx) { return 0; }')))
    half = b"\x18" + bytes(7)
    with pytest.raises(BpfasError, match="end within one of 16 bytes"):
        elf_object(program._replace(instructions=program.instructions + half))
