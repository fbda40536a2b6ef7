"""uprobes: one and many, of functions and offsets, found on PATH, among libraries and in archives."""

from __future__ import annotations

import ctypes
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.loader import load
from bpfas.loader.attach.binary import open_binary
from bpfas.loader.attach.binary_functions import data_addresses, function_offset
from bpfas.loader.attach.table import attach
from bpfas.loader.errors import AttachError
from tests.loader.attach_support import HIT, Library, compile_library, read_hits
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.peer, needs(Need.UPROBES), pytest.mark.usefixtures("no_leaks")]

LIBRARY = """
__attribute__((noinline)) int first(int a) { __asm__ volatile(""); return a + 1; }
__attribute__((noinline)) int second(int a) { __asm__ volatile(""); return a + 2; }
__attribute__((noinline)) int third(int a) { __asm__ volatile(""); return a + 3; }
__attribute__((section(".probes"))) volatile unsigned short counter;
unsigned short armed(void) { return counter; }
"""
ONE = """
SEC("uprobe") int entry(void *ctx) { return hit(ctx); }
SEC("uretprobe/libc.so.6:getppid") int libc_return(void *ctx) { return hit(ctx); }
SEC("uprobe/libtarget.so:second+0") int second_of_library(void *ctx) { return hit(ctx); }
"""
MANY = """
SEC("uprobe.multi") int many(void *ctx) { return hit(ctx); }
SEC("uretprobe.multi/libtarget.so:*d") int many_returns(void *ctx) { return hit(ctx); }
"""
SESSION = 'SEC("uprobe.session") int session(void *ctx) { return hit(ctx); }'


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    return Library(compile_library(tmp_path, LIBRARY))


def test_function_by_hand_with_a_cookie(compile_c: Callable[..., str], library: Library) -> None:
    with load(compile_c(HIT + ONE, "-g")) as app:
        with attach(app.programs["entry"], path=library.path, function="first", cookie=7) as link:
            library.call("first", "second", "first")
            assert read_hits(app) == (2, 7)
            assert link.target == f"uprobe {library.path}:first"
        library.call("first")
        assert read_hits(app).times == 2


def test_function_by_section(compile_c: Callable[..., str], library: Library) -> None:
    with load(compile_c(HIT + ONE, "-g")) as app, attach(app.programs["second_of_library"]):
        library.call("first", "second")
        assert read_hits(app).times == 1


def test_return_from_a_library_that_is_searched(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + ONE, "-g")) as app, attach(app.programs["libc_return"], cookie=3, pid=os.getpid()):
        ctypes.CDLL("libc.so.6").getppid()
        assert read_hits(app) == (1, 3)


def test_offset_in_the_file(compile_c: Callable[..., str], library: Library) -> None:
    with open_binary(str(library.path)) as binary:
        offset = function_offset(binary, "third")
    with load(compile_c(HIT + ONE, "-g")) as app, attach(app.programs["entry"], path=library.path, offset=offset):
        library.call("third")
        assert read_hits(app).times == 1


def test_only_one_process(compile_c: Callable[..., str], library: Library) -> None:
    child = os.fork()
    if not child:
        os.execv("/bin/sleep", ["sleep", "60"])  # noqa: S606
    try:
        with (
            load(compile_c(HIT + ONE, "-g")) as app,
            attach(app.programs["entry"], path=library.path, function="first", pid=child),
        ):
            library.call("first")
            assert read_hits(app).times == 0
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_library_stored_in_an_archive(compile_c: Callable[..., str], library: Library, tmp_path: Path) -> None:
    archive = tmp_path / "app.apk"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("assets/readme", "x" * 1000)
        file.write(library.path, "lib/libtarget.so")
        file.write(library.path, "lib/small.so", zipfile.ZIP_DEFLATED)
    with open_binary(str(library.path)) as alone, open_binary(f"{archive}!/lib/libtarget.so") as inside:
        assert function_offset(inside, "first") == inside.start + function_offset(alone, "first")
        assert archive.read_bytes()[inside.start : inside.start + 4] == b"\x7fELF"
    with load(compile_c(HIT + ONE, "-g")) as app:
        program = app.programs["entry"]
        attach(program, path=f"{archive}!/lib/libtarget.so", function="first").close()
        with pytest.raises(AttachError, match=r"lib/small\.so of .* is compressed"):
            attach(program, path=f"{archive}!/lib/small.so", function="first")
        with pytest.raises(AttachError, match=r"has no member lib/no\.so"):
            attach(program, path=f"{archive}!/lib/no.so", function="first")


def test_semaphore_is_raised_while_attached(compile_c: Callable[..., str], library: Library) -> None:
    with open_binary(str(library.path)) as binary:
        (address,) = data_addresses(binary, "counter")
        semaphore = binary.file_offset(address) or 0
    with load(compile_c(HIT + ONE, "-g")) as app:
        assert library.functions.armed() == 0
        with attach(app.programs["entry"], path=library.path, function="first", semaphore=semaphore):
            assert library.functions.armed() == 1
        assert library.functions.armed() == 0


@needs(Need.UPROBE_MULTI)
def test_many_by_names_with_cookies(compile_c: Callable[..., str], library: Library) -> None:
    with load(compile_c(HIT + MANY, "-g")) as app:
        program = app.programs["many"]
        with attach(program, path=library.path, functions=["first", "third"], cookies=[11, 33]):
            library.call("first")
            assert read_hits(app) == (1, 11)
            library.call("third", "second")
            assert read_hits(app) == (2, 33)


@needs(Need.UPROBE_MULTI)
def test_many_returns_by_the_pattern_of_the_section(compile_c: Callable[..., str], library: Library) -> None:
    with load(compile_c(HIT + MANY, "-g")) as app, attach(app.programs["many_returns"]):
        library.call("first", "second", "third")
        assert read_hits(app).times == 2


@needs(Need.UPROBE_MULTI)
def test_many_by_offsets(compile_c: Callable[..., str], library: Library) -> None:
    with open_binary(str(library.path)) as binary:
        offsets = [function_offset(binary, name) for name in ("first", "second")]
    with (
        load(compile_c(HIT + MANY, "-g")) as app,
        attach(app.programs["many"], path=library.path, offsets=offsets, pid=0),
    ):
        library.call("first", "second", "third")
        assert read_hits(app).times == 2


@needs(Need.UPROBE_SESSION)
def test_session_runs_at_entry_and_return(compile_c: Callable[..., str], library: Library) -> None:
    with (
        load(compile_c(HIT + SESSION, "-g")) as app,
        attach(app.programs["session"], path=library.path, pattern="fi?st"),
    ):
        library.call("first")
        assert read_hits(app).times == 2


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"function": "frist"}, "has no function 'frist'.*nearest: first"),
        ({"function": "first", "pid": 2**22 - 1}, "there is no process 4194303"),
        ({"offset": 1 << 40}, "cannot probe .* the offset is beyond the file's end"),
        ({"path": "/no/such/file", "function": "x"}, "cannot read /no/such/file"),
        ({"path": "no-such-program", "function": "x"}, "no program no-such-program in "),
        ({"path": "/etc/passwd", "function": "x"}, "/etc/passwd is no ELF file"),
        ({"path": "/proc/self", "function": "x"}, "cannot read /proc/self: Is a directory"),
        ({"function": "first", "offset": 1, "retprobe": True}, "a uretprobe has no offset"),
    ],
)
def test_what_cannot_be_probed(
    compile_c: Callable[..., str], library: Library, how: dict[str, Any], words: str
) -> None:
    with (
        load(compile_c(HIT + ONE, "-g")) as app,
        pytest.raises(AttachError, match=f"(?s){words}"),
    ):
        attach(app.programs["entry"], **{"path": library.path, **how})


def test_bare_section_says_what_is_missing(compile_c: Callable[..., str]) -> None:
    with (
        load(compile_c(HIT + ONE, "-g")) as app,
        pytest.raises(AttachError, match=r"(?s)'uprobe' does not say where.*uprobe/PATH:FUNCTION\[\+OFFSET\]"),
    ):
        attach(app.programs["entry"])


@needs(Need.UPROBE_MULTI)
def test_pattern_that_matches_nothing_and_too_few_cookies(compile_c: Callable[..., str], library: Library) -> None:
    with load(compile_c(HIT + MANY, "-g")) as app:
        program = app.programs["many"]
        with pytest.raises(AttachError, match=r"no function of .* matches 'x\*'"):
            attach(program, path=library.path, pattern="x*")
        with pytest.raises(AttachError, match="1 cookies for 3 functions"):
            attach(program, path=library.path, functions=["first", "second", "third"], cookies=[1])
