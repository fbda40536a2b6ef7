"""Several definitions of one name: what is said of them, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bpfas.link.cli import main
from tests.link.builders import EXIT, code, extern, glob, license_section, link_errors, obj, weak
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.objfile import ObjectFile


def functions(name: str, names: str) -> ObjectFile:
    text = code(".text", *(EXIT for _ in names))
    return obj(name, text, *(glob(letter, text, 8 * number) for number, letter in enumerate(names)))


def test_an_object_that_was_linked_into_another_is_told_of_once() -> None:
    message = (
        "error: 4 duplicate symbols: b, c, d, 1 more\n"
        ">>> b is defined in app.o:(.text+0x8)\n"
        ">>> b is defined in maps.o:(.text+0x0)\n"
        ">>> app.o seems to contain maps.o already: leave one of them out"
    )
    app, maps = functions("app.o", "abcdef"), functions("maps.o", "bcde")
    assert link_errors(app, maps) == message
    assert ">>> app.o seems to contain maps.o already" in link_errors(maps, app)


def test_a_license_does_not_count_for_what_an_object_contains() -> None:
    app, maps = functions("app.o", "abcdef"), functions("maps.o", "bcde")
    for made in (app, maps):
        made.sections.append(license_section())
        made.symbols.append(glob("_license", made.sections[-1]))
    assert "app.o seems to contain maps.o already" in link_errors(app, maps)


def test_what_is_weak_or_undefined_does_not_count_for_what_an_object_contains() -> None:
    maps = functions("maps.o", "bcde")
    maps.symbols += [weak("w", maps.sections[0]), extern("a")]
    assert "app.o seems to contain maps.o already" in link_errors(functions("app.o", "abcdef"), maps)


@pytest.mark.parametrize(("first", "second"), [("abcdx", "abcdy"), ("abc", "abcd")])
def test_other_objects_with_names_in_common_are_told_of_name_by_name(first: str, second: str) -> None:
    errors = link_errors(functions("a.o", first), functions("b.o", second))
    common = sorted({*first} & {*second})
    assert [line for line in errors.splitlines() if "error" in line] == [
        f"error: duplicate symbol: {name}" for name in common
    ]


def test_of_many_duplicates_the_first_are_shown() -> None:
    names = "abcdefghijklmnopqrstuvwxy"
    report = link_errors(functions("a.o", f"{names}A"), functions("b.o", f"{names}B")).splitlines()
    assert [line for line in report if "error" in line] == [
        *(f"error: duplicate symbol: {name}" for name in names[:20]),
        "error: … and 5 more errors about duplicate symbols",
    ]


def compiled(directory: Path, name: str, text: str) -> str:
    (directory / f"{name}.c").write_text(text)
    Peer.CLANG.run("-target", "bpf", "-O2", "-g", "-c", f"{name}.c", "-o", f"{name}.o", directory=directory)
    return f"{name}.o"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.peer
@pytest.mark.parametrize(
    ("header", "remedy"),
    [
        ("int v = 1;\n", "the definition is in a header: put `extern` there, and define it in one file"),
        ("int f(int x) { return x; }\n", "the definition is in a header: make it static inline there"),
    ],
)
def test_a_definition_in_a_header_is_known_for_one(
    here: Path, header: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "h.h").write_text(header)
    objects = [compiled(here, name, f'#include "h.h"\nint {name};\n') for name in ("a", "b")]
    assert main(objects) == 1
    errors = capsys.readouterr().err
    assert errors.count("h.h:1 (") == 2
    assert f">>> {remedy}" in errors


@pytest.mark.peer
def test_many_definitions_in_a_header(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "h.h").write_text("int v = 1;\nint w;\n")
    objects = [compiled(here, name, '#include "h.h"\n') for name in ("a", "b")]
    assert main(objects) == 1
    errors = capsys.readouterr().err
    assert "2 duplicate symbols: v, w\n" in errors
    assert "the definitions are in a header: only declare there" in errors


@pytest.mark.peer
def test_two_links_that_hold_the_same_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = compiled(here, "shared", "int v = 1;\nint w = 2;\n")
    for name in ("a", "b"):
        assert main([compiled(here, name, f"int {name};\n"), shared, "-o", f"{name}{name}.o"]) == 0
    assert main(["aa.o", "bb.o"]) == 1
    errors = capsys.readouterr().err
    assert "aa.o and bb.o seem to have the same file linked into them: leave it out of one" in errors


@pytest.mark.peer
def test_messages_as_data_have_the_first_place_that_they_tell_of(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = compiled(here, "a", "int f(int x) { return x; }\n\nint v;\n")
    b = compiled(
        here,
        "b",
        "\nint f(int x) { return x; }\nlong g(int);\nextern long v;\nlong h(int x) {\nreturn g(x) + v; }\n",
    )
    assert main(["--json", a, b]) == 1
    duplicate, types, undefined = map(json.loads, capsys.readouterr().err.splitlines())
    assert duplicate["message"] == "duplicate symbol: f"
    assert (duplicate["file"], duplicate["line"], duplicate["place"]) == ("a.c", 1, "a.c:1 (a.o:(.text+0x0))")
    assert types["message"].startswith("conflicting types of v")
    assert (types["file"], types["line"]) == ("a.c", 3)
    assert undefined["message"] == "undefined symbol: g"
    assert (undefined["file"], undefined["line"]) == ("b.c", 6)
    assert undefined["place"].startswith("b.c:6 (b.o:(.text+0x")


def test_an_object_without_debugging_information_is_its_own_file() -> None:
    from bpfas.diag import BpfasError
    from bpfas.link.linker import link

    with pytest.raises(BpfasError) as caught:
        link([functions("a.o", "a"), functions("b.o", "a")])
    data = caught.value.diagnostics[0].as_data()
    assert (data["file"], data["line"], data["place"]) == ("a.o", None, "a.o:(.text+0x0)")
