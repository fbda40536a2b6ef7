"""Executables and libraries: found, and the places of their functions as nm has them."""

from __future__ import annotations

import ctypes
import lzma
import os
import subprocess
from pathlib import Path

import pytest

from bpfas.diag import BpfasError
from bpfas.loader.attach.binary import find_file, open_binary
from bpfas.loader.attach.binary_functions import (
    FunctionNotFoundError,
    function_offset,
    functions,
    matching_offsets,
)
from tests.loader.attach_support import compile_library

pytestmark = pytest.mark.peer

SOURCE = """
__attribute__((noinline)) int first(int a) { return a + 1; }
static __attribute__((noinline, used)) int second(int a) { return a * 3; }
int __attribute__((weak)) third(int a) { return second(a) - first(a); }
int old_api(void) { return 1; }
int new_api(void) { return 2; }
__asm__(".symver old_api, api@VERS_1");
__asm__(".symver new_api, api@@VERS_2");
static int pick_a(void) { return 1; }
static void *choose(void) { return pick_a; }
int chosen(void) __attribute__((ifunc("choose")));
"""
VERSIONS = "VERS_1 { global: first; third; chosen; local: *; }; VERS_2 { } VERS_1;"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    script = tmp_path / "versions"
    script.write_text(VERSIONS)
    return compile_library(tmp_path, SOURCE, f"-Wl,--version-script={script}")


def disassembled(path: Path, name: str) -> int:
    """Where in the file nm and readelf put a function."""
    listing = subprocess.run(["/usr/bin/nm", path], capture_output=True, text=True, check=True).stdout
    return int(next(line.split()[0] for line in listing.splitlines() if line.split()[-1] == name), 16)


def test_places_are_those_of_nm(library: Path) -> None:
    with open_binary(str(library)) as binary:
        for name in ("first", "second", "third"):
            assert function_offset(binary, name) == disassembled(library, name)


def test_versions(library: Path) -> None:
    old, new = disassembled(library, "old_api"), disassembled(library, "new_api")
    with open_binary(str(library)) as binary:
        assert function_offset(binary, "api@VERS_1") == old
        assert function_offset(binary, "api@VERS_2") == new
        assert function_offset(binary, "api@@VERS_2") == new
        assert function_offset(binary, "api") == new
        with pytest.raises(FunctionNotFoundError, match="no function 'api@@VERS_1'"):
            function_offset(binary, "api@@VERS_1")


def test_function_that_is_chosen_at_run_time(library: Path) -> None:
    with open_binary(str(library)) as binary, pytest.raises(FunctionNotFoundError, match="GNU_IFUNC"):
        function_offset(binary, "chosen")


def test_several_local_functions_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("static __attribute__((used, noinline)) int twin(void) { return 1; }")
    (tmp_path / "b.c").write_text("static __attribute__((used, noinline)) int twin(void) { return 2; }")
    output = tmp_path / "twins.so"
    sources = [tmp_path / "a.c", tmp_path / "b.c"]
    subprocess.run(["/usr/bin/gcc", "-shared", "-fPIC", "-o", output, *sources], check=True)
    with (
        open_binary(str(output)) as binary,
        pytest.raises(FunctionNotFoundError, match=r"has 2 functions 'twin' \(at 0x"),
    ):
        function_offset(binary, "twin")


def test_stripped_file_has_its_dynamic_symbols_and_says_what_to_do_for_others(library: Path) -> None:
    second = disassembled(library, "second")
    subprocess.run(["/usr/bin/strip", "--strip-all", library], check=True)
    with open_binary(str(library)) as binary:
        function_offset(binary, "first")
        with pytest.raises(FunctionNotFoundError, match="no function 'second'"):
            function_offset(binary, "second")
    assert second


def test_symbols_that_a_stripped_file_carries_compressed(library: Path, tmp_path: Path) -> None:
    second = disassembled(library, "second")
    debug, packed, stripped = tmp_path / "debug", tmp_path / "debug.xz", tmp_path / "stripped.so"
    subprocess.run(["/usr/bin/objcopy", "--only-keep-debug", library, debug], check=True)
    packed.write_bytes(lzma.compress(debug.read_bytes()))
    subprocess.run(
        ["/usr/bin/objcopy", "--strip-all", "--add-section", f".gnu_debugdata={packed}", library, stripped],
        check=True,
    )
    with open_binary(str(stripped)) as binary:
        assert function_offset(binary, "second") == second


def test_patterns(library: Path) -> None:
    with open_binary(str(library)) as binary:
        found = matching_offsets(binary, "*ir[sd]*")
        assert set(found.values()) == {"first", "third"}
        assert list(found) == sorted(found)
        with pytest.raises(FunctionNotFoundError, match="matches 'no\\*'"):
            matching_offsets(binary, "no*")


def test_libc_and_this_interpreter_are_found() -> None:
    with open_binary("libc.so.6") as libc:
        assert any(each.name == "malloc" for each in functions(libc))
    name = os.path.basename(os.path.realpath("/bin/sh"))
    assert os.path.samefile(find_file(name), "/bin/sh")


def test_search_follows_the_environment(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BpfasError, match=r"no library libtarget\.so in "):
        find_file("libtarget.so")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert find_file("libtarget.so") == str(library)
    program = tmp_path / "some-program"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_file("some-program") == str(program)


@pytest.mark.parametrize("size", [0, 3, 16, 51, 60, 64, 100])
def test_truncated_file_is_an_error(library: Path, tmp_path: Path, size: int) -> None:
    short = tmp_path / "short.so"
    short.write_bytes(library.read_bytes()[:size])
    with pytest.raises(BpfasError), open_binary(str(short)) as binary:
        function_offset(binary, "first")


def test_every_byte_of_the_headers_damaged(library: Path, tmp_path: Path) -> None:
    """Whatever is in the ELF header and the section headers: a place or an error, nothing else."""
    data = library.read_bytes()
    damaged = tmp_path / "damaged.so"
    table = int.from_bytes(data[40:48], "little")
    for at in [*range(4, 64), *range(table, len(data), 3)]:
        damaged.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            with open_binary(str(damaged)) as binary:
                function_offset(binary, "second")
        except BpfasError:
            pass


def test_function_of_this_process_is_where_the_file_says(library: Path) -> None:
    loaded = ctypes.CDLL(str(library))
    address = ctypes.cast(loaded.first, ctypes.c_void_p).value or 0
    line = next(
        line
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "r-xp" in line and str(library) in line
    )
    start, offset = int(line.split("-")[0], 16), int(line.split()[2], 16)
    with open_binary(str(library)) as binary:
        assert function_offset(binary, "first") == address - start + offset
