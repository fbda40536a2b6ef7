"""Templates that are kept between runs: whatever is in the cache, the object is the same."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from lark.exceptions import UnexpectedInput

import bpfas
from bpfas.asm import template_cache
from bpfas.asm.cli import main
from bpfas.asm.parser import parse_plain
from bpfas.asm.source import statement_places
from bpfas.asm.template_cache import TemplateCache
from bpfas.user_cache import cache_directory
from tests.asm.sources import sources

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = """\
        .section xdp, "ax", @progbits
        .globl main
        .type main, @function
main:   mov %r1, (1 + 2) * -x
1:      r2 = *(u32 *)(r1 - 4) ; if r2 s> 5 goto 1b
        lddw %r1, %map(counts)
        lock *(u64 *)(r1 + 0) += r2
        call map_lookup_elem#1
        7: (b7) r0 = 0
        .ascii "a" "b", <65>
        .p2align 3,,4
x = 5
        .double 1.5
        exit
        .size main, . - main
        .section maps, "aw"
        .globl counts
counts: .zero 20
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def assembled(tmp_path: Path, text: str = SOURCE) -> bytes:
    """The object of a text, as the command makes it."""
    source, output = tmp_path / "a.s", tmp_path / "a.o"
    source.write_text(text)
    output.unlink(missing_ok=True)
    assert main([str(source), "-o", str(output)]) == 0
    return output.read_bytes()


def cache_file() -> Path:
    """The file in which the templates are kept."""
    (file,) = Path(cache_directory()).glob("templates-*")
    return file


def forbid_lark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a test fail in which Lark is asked."""

    def fail(text: str) -> None:
        raise AssertionError(f"Lark is asked for {text}")

    monkeypatch.setattr("bpfas.asm.parser.parse_statement", fail)


def test_a_second_run_gives_the_same_object_without_lark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = assembled(tmp_path)
    forbid_lark(monkeypatch)
    assert assembled(tmp_path) == first
    other_values = SOURCE.replace("%r1", "%r7").replace("1.5", "2.5").replace("counts", "others")
    assert assembled(tmp_path, other_values) != first


def test_a_new_shape_joins_those_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assembled(tmp_path)
    assembled(tmp_path, "r1 = r2\n")
    forbid_lark(monkeypatch)
    assembled(tmp_path, SOURCE + "r1 = r2\n")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda contents: contents[:-20],
    "no hash": lambda contents: contents.partition(b"\n")[2],
    "another hash": lambda contents: b"0" * 16 + contents[16:],
    "another instruction": lambda contents: contents.replace(b'"exit"', b'"goto"'),
    "another slot": lambda contents: contents.replace(b"[0,", b"[1,"),
    "no text": lambda _: b"\xff\xfe",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_found_out_and_made_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    first = assembled(tmp_path)
    file = cache_file()
    contents = file.read_bytes()
    damaged = damage(contents)
    assert damaged != contents
    file.write_bytes(damaged)
    assert assembled(tmp_path) == first
    assert file.read_bytes() == contents


def test_what_another_version_has_made_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = assembled(tmp_path)
    old = cache_file()
    read = template_cache._contents
    monkeypatch.setattr(
        template_cache, "_contents", lambda name: read(name).replace(b"HelperCall", b"helper_call")
    )
    monkeypatch.setattr("bpfas.asm.template_cache._value", lambda data: pytest.fail("used") if data else None)
    assert assembled(tmp_path) == first
    assert {old} < set(Path(cache_directory()).glob("templates-*"))


def test_every_file_that_makes_templates_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {TemplateCache()._file_name}
    read = template_cache._contents
    for changed in template_cache._MAKERS:
        monkeypatch.setattr(
            template_cache, "_contents", lambda name, changed=changed: read(name) + b"\n" * (name == changed)
        )
        names.add(TemplateCache()._file_name)
    assert len(names) == len(template_cache._MAKERS) + 1


def test_what_the_makers_import_is_a_maker_too() -> None:
    package = Path(bpfas.__file__).parent
    imported: set[str] = set()
    for maker in ("asm/parser.py", "asm/shape.py", "asm/statement.py"):
        for name in re.findall(r"(?m)^from bpfas\.([\w.]+) import", (package / maker).read_text()):
            path = package / name.replace(".", "/")
            imported.add(f"{name.replace('.', '/')}{'/__init__' if path.is_dir() else ''}.py")
    # Places in messages are in no template; lists are told from their shape without the cache.
    assert imported - {"diag.py", "asm/list_template.py"} <= set(template_cache._MAKERS)


def test_without_the_files_that_make_templates_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_cache, "_MAKERS", ("asm/parser.py", "no-such-file"))
    assert assembled(tmp_path)
    assert assembled(tmp_path)
    assert not list(Path(cache_directory()).glob("templates-*"))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = assembled(tmp_path)
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    assert assembled(tmp_path) == first


def test_a_directory_that_is_read_only_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = assembled(tmp_path)
    contents = cache_file().read_bytes()
    changed = SOURCE + "r1 = r2\n"

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bpfas.user_cache.replace_file", refuse)  # root may write even there
    assert assembled(tmp_path, changed) == assembled(tmp_path, changed) != first
    assert cache_file().read_bytes() == contents


def test_a_directory_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = assembled(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in Path(cache_directory()).iterdir()}
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr("bpfas.asm.template_cache._value", lambda data: pytest.fail("used") if data else None)
    assert assembled(tmp_path, SOURCE + "r1 = r2\n") != first
    assert {file: file.stat().st_mtime_ns for file in Path(cache_directory()).iterdir()} == before


def test_a_file_is_nobody_elses_to_read(tmp_path: Path) -> None:
    assembled(tmp_path)
    assert cache_file().stat().st_mode & 0o777 == 0o600


def test_processes_at_once_give_the_objects_that_they_give_alone(tmp_path: Path) -> None:
    texts = [SOURCE.replace("mov %r1", f"mov %r{number}") + f"r1 {'+' * (number % 2)}= 1\n" for number in range(4)]
    alone = [assembled(tmp_path, text) for text in texts]
    for file in Path(cache_directory()).glob("templates-*"):
        file.unlink()
    processes = []
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.s").write_text(text)
        arguments = [str(tmp_path / f"{number}.s"), "-o", str(tmp_path / f"{number}.o")]
        processes.append(subprocess.Popen([sys.executable, "-m", "bpfas.asm", *arguments]))
    assert [process.wait() for process in processes] == [0] * len(texts)
    assert [(tmp_path / f"{number}.o").read_bytes() for number in range(len(texts))] == alone
    assert [file.suffix for file in Path(cache_directory()).glob("*templates-*")] == [".json"]


def test_statements_at_fault_are_at_fault_every_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.s"
    source.write_text("mov %r1, %r77\nadd r1,,\nmov %r1, nothing nowhere\n.byte 256\n")
    messages = []
    for _ in range(2):
        assert main([str(source), "-o", str(tmp_path / "a.o")]) == 1
        messages.append(capsys.readouterr().err)
    assert messages[0] == messages[1]


def test_only_the_newest_of_too_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_cache, "_MOST_TEMPLATES", 3)
    template = parse_plain("exit").template
    for shapes in (["a", "b"], ["c", "d"]):
        cache = TemplateCache()
        for shape in shapes:
            cache.add(shape, template)
        cache.save()
    known = TemplateCache()
    assert [known.get(shape) for shape in "abcd"] == [None, template, template, template]


@given(sources(1))
def test_a_template_that_was_kept_is_the_one_that_lark_gives(text: str) -> None:
    for first, last in statement_places(text, 0, len(text)):
        with contextlib.suppress(UnexpectedInput):
            template = parse_plain(text[first:last]).template
            assert template_cache._value(template_cache._data(template)) == template
