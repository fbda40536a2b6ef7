"""Archives and libraries: which members take part in a link, in which order, and why."""

from __future__ import annotations

import io
import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.archive import read_archive
from bpfas.link.cli import main
from bpfas.link.inputs import Input, Inputs, read_inputs
from bpfas.link.options import LinkOptions
from bpfas.objfile import Section, SpecialSection, Symbol
from tests.link.builders import CALL, EXIT, call, code, common, data, extern, glob, obj, relocated, weak
from tests.link.test_undefined import btf
from tests.peers import Peer


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(defined: str, *wanted: str, symbols: tuple[Symbol, ...] = ()) -> bytes:
    """An object that defines the names in `defined` and calls the others."""
    text = code(".text", *(call() for _ in wanted), EXIT)
    relocated(text, *((8 * number, CALL, extern(name)) for number, name in enumerate(wanted)))
    return write_object(obj("x", text, *(glob(name, text) for name in defined.split()), *symbols))


def header(name: str, size: int) -> bytes:
    return f"{name:<16}{'0':<12}{'0':<6}{'0':<6}{'644':<8}{size:<10}`\n".encode()


def archive(*members: tuple[str, bytes], index: bytes | None = None) -> bytes:
    """An archive in GNU's format."""
    made = b"!<arch>\n"
    for name, text in [
        *([("", index)] if index is not None else []),
        *((f"{name}", text) for name, text in members),
    ]:
        made += header(f"{name}/", len(text)) + text + b"\n" * (len(text) % 2)
    return made


def index(*names: tuple[str, int]) -> bytes:
    """The contents of GNU's index: names, and the offsets of the headers of the members that define them."""
    offsets = b"".join(offset.to_bytes(4, "big") for _, offset in names)
    return len(names).to_bytes(4, "big") + offsets + b"".join(f"{name}\0".encode() for name, _ in names)


def write_archive(path: str, *members: tuple[str, bytes]) -> None:
    Path(path).write_bytes(archive(*members))


def read(*inputs: Input | str, options: LinkOptions | None = None, directories: tuple[str, ...] = ()) -> Inputs:
    """What takes part in a link of these inputs, none of which is wrong."""
    diagnostics = Diagnostics()
    items = [Input(item) if isinstance(item, str) else item for item in inputs]
    found = read_inputs(items, directories, options or LinkOptions(), None, diagnostics, lambda *_: None)
    assert diagnostics.items == []
    return found


def taken(*inputs: Input | str, options: LinkOptions | None = None) -> list[str]:
    return [made.name for made in read(*inputs, options=options).objects]


def reasons(*inputs: Input | str, options: LinkOptions | None = None) -> list[tuple[str, str, str]]:
    found = read(*inputs, options=options)
    return [(extraction.obj.name, extraction.name, extraction.referrer) for extraction in found.extractions]


def write_main(*wanted: str) -> None:
    Path("main.o").write_bytes(contents("main", *wanted))


# What is taken


def test_what_is_undefined_is_taken_and_what_that_needs() -> None:
    write_main("f")
    write_archive(
        "libx.a",
        ("g.o", contents("g")),
        ("f.o", contents("f", "g", "h")),
        ("h.o", contents("h")),
        ("unused.o", contents("unused", "missing")),
    )
    assert reasons("main.o", "libx.a") == [
        ("libx.a(f.o)", "f", "main.o"),
        ("libx.a(h.o)", "h", "libx.a(f.o)"),
        ("libx.a(g.o)", "g", "libx.a(f.o)"),
    ]


def test_an_archive_gives_what_is_undefined_where_it_stands() -> None:
    write_main("f")
    write_archive("libf.a", ("f.o", contents("f", "g")))
    write_archive("libg.a", ("g.o", contents("g", "f2")), ("f2.o", contents("f2")))
    assert taken("libf.a", "main.o") == ["main.o"]
    assert taken("main.o", "libg.a", "libf.a") == ["main.o", "libf.a(f.o)"]
    assert taken("main.o", "libf.a", "libg.a") == ["main.o", "libf.a(f.o)", "libg.a(g.o)", "libg.a(f2.o)"]


def test_a_group_is_gone_through_until_nothing_more_comes_in() -> None:
    write_main("f1")
    write_archive("liba.a", *((f"f{n}.o", contents(f"f{n}", f"g{n}")) for n in range(4)))
    write_archive("libb.a", *((f"g{n}.o", contents(f"g{n}", f"f{n + 1}")) for n in range(3)))
    group = [Input("liba.a", group=1), Input("libb.a", group=1)]
    names = [f"{'liba' if letter == 'f' else 'libb'}.a({letter}{n}.o)" for n in (1, 2) for letter in "fg"]
    assert taken("main.o", *group) == ["main.o", *names, "liba.a(f3.o)"]
    assert taken("main.o", "liba.a", "libb.a") == ["main.o", *names[:2]]


def test_archives_of_two_groups_are_apart() -> None:
    write_main("f")
    write_archive("liba.a", ("f.o", contents("f", "g")), ("h.o", contents("h")))
    write_archive("libb.a", ("g.o", contents("g", "h")))
    assert "liba.a(h.o)" not in taken("main.o", Input("liba.a", group=1), Input("libb.a", group=2))


def test_an_archive_that_is_named_again_gives_what_it_has_not_given() -> None:
    write_main("f")
    write_archive("liba.a", ("f.o", contents("f", "g")), ("h.o", contents("h")))
    write_archive("libb.a", ("g.o", contents("g", "h")))
    assert taken("main.o", "liba.a", "libb.a", "./liba.a") == [
        "main.o",
        "liba.a(f.o)",
        "libb.a(g.o)",
        "liba.a(h.o)",
    ]


def test_of_several_definitions_the_next_one_counts() -> None:
    write_main("b")
    write_archive("libx.a", ("a1.o", contents("a")), ("b.o", contents("b", "a")), ("a2.o", contents("a")))
    assert taken("main.o", "libx.a") == ["main.o", "libx.a(b.o)", "libx.a(a2.o)"]
    write_main("a")
    assert taken("main.o", "libx.a") == ["main.o", "libx.a(a1.o)"]


def test_weak_references_take_nothing() -> None:
    text = relocated(code("xdp", call(), EXIT), (0, CALL, weak("f", SpecialSection.UNDEF)))
    Path("main.o").write_bytes(write_object(obj("main.o", text)))
    write_archive("libx.a", ("f.o", contents("f")))
    assert taken("main.o", "libx.a") == ["main.o"]


def test_a_weak_definition_is_one() -> None:
    write_main("f")
    text = code()
    write_archive("libx.a", ("weak.o", write_object(obj("x", text, weak("f", text)))), ("f.o", contents("f")))
    assert taken("main.o", "libx.a") == ["main.o", "libx.a(weak.o)"]


def test_local_symbols_define_nothing() -> None:
    write_main("f")
    text = code()
    write_archive("libx.a", ("local.o", write_object(obj("x", text, Symbol("f", text)))), ("f.o", contents("f")))
    assert taken("main.o", "libx.a") == ["main.o", "libx.a(f.o)"]


def test_a_common_symbol_takes_a_definition_but_no_other_common_symbol() -> None:
    shared = write_object(obj("x", common("counter", 8, 8)))
    Path("main.o").write_bytes(shared)
    variables = data()
    write_archive(
        "libc.a", ("common.o", shared), ("data.o", write_object(obj("x", variables, glob("counter", variables))))
    )
    assert taken("main.o", "libc.a") == ["main.o", "libc.a(data.o)"]
    write_main("counter")
    assert taken("main.o", "libc.a") == ["main.o", "libc.a(common.o)", "libc.a(data.o)"]


@pytest.mark.parametrize("section", [".ksyms", ".kconfig"])
def test_what_the_kernel_has_takes_nothing(section: str) -> None:
    kernel = obj("main.o", relocated(code("xdp", call(), EXIT), (0, CALL, extern("bpf_task_acquire"))))
    kernel.sections.append(Section(".BTF", data=btf("<", section, ["bpf_task_acquire"])))
    Path("main.o").write_bytes(write_object(kernel))
    write_archive("libx.a", ("f.o", contents("bpf_task_acquire")))
    assert taken("main.o", "libx.a") == ["main.o"]
    Path("other.o").write_bytes(contents("other", "bpf_task_acquire"))
    assert reasons("main.o", "other.o", "libx.a") == [("libx.a(f.o)", "bpf_task_acquire", "other.o")]


def test_whole_archives_give_all_members() -> None:
    write_main()
    write_archive("libx.a", ("f.o", contents("f", "missing")), ("g.o", contents("g")))
    whole = Input("libx.a", whole_archive=True)
    assert reasons("main.o", whole) == [("libx.a(f.o)", "", ""), ("libx.a(g.o)", "", "")]
    write_main("f")
    assert taken("main.o", "libx.a", whole) == ["main.o", "libx.a(f.o)", "libx.a(g.o)"]


@pytest.mark.parametrize(
    ("options", "referrer"),
    [
        (LinkOptions(wanted=("f",)), "-u"),
        (LinkOptions(roots=("f",)), "-e"),
        (LinkOptions(definitions=(("other", "f+8"),)), "--defsym other"),
    ],
)
def test_options_take_members(options: LinkOptions, referrer: str) -> None:
    write_archive("libx.a", ("f.o", contents("f")), ("other.o", contents("other")))
    assert reasons("libx.a", options=options) == [("libx.a(f.o)", "f", referrer)]


def test_what_an_option_defines_takes_nothing() -> None:
    write_main("f")
    write_archive("libx.a", ("f.o", contents("f")))
    assert taken("main.o", "libx.a", options=LinkOptions(definitions=(("f", "1"),))) == ["main.o"]


def test_a_wrapped_name_wants_its_wrapper_and_that_the_real_one() -> None:
    write_main("f")
    write_archive("libx.a", ("f.o", contents("f")), ("wrap.o", contents("__wrap_f", "__real_f")))
    assert reasons("main.o", "libx.a", options=LinkOptions(wrapped=frozenset({"f"}))) == [
        ("libx.a(wrap.o)", "__wrap_f", "main.o"),
        ("libx.a(f.o)", "f", "libx.a(wrap.o)"),
    ]
    assert taken("main.o", "libx.a") == ["main.o", "libx.a(f.o)"]


def test_a_long_chain_backwards_is_followed() -> None:
    count = 2000
    write_main(f"f{count - 1}")
    members = [(f"f{n}.o", contents(f"f{n}", *([f"f{n - 1}"] if n else []))) for n in range(count)]
    write_archive("libx.a", *members)
    assert len(taken("main.o", "libx.a")) == 1 + count


# Libraries


def test_libraries_are_looked_for_in_directories_in_order() -> None:
    write_main("f")
    for directory in ("one", "two"):
        Path(directory).mkdir()
        write_archive(f"{directory}/libx.a", ("f.o", contents("f")))
    Path("one/f.o").write_bytes(contents("f"))
    assert main(["main.o", "-lx", "-L", "two", "-Lone", "-Map=map"]) == 0
    assert "two/libx.a(f.o)" in Path("map").read_text()
    assert main(["main.o", "-l", ":f.o", "-L=one", "--library-path=one", "-Map=map"]) == 0
    assert "one/f.o" in Path("map").read_text()


def test_all_that_is_not_found_is_reported_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["missing.o", "-lx", "-l:y.a", "-Ldir", "-L", "other"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "bpf-ld: error: cannot read missing.o: No such file or directory",
        "bpf-ld: error: cannot find -lx",
        ">>> there is no dir/libx.a",
        ">>> there is no other/libx.a",
        "bpf-ld: error: cannot find -l:y.a",
        ">>> there is no dir/y.a",
        ">>> there is no other/y.a",
    ]
    assert main(["-lx"]) == 1
    assert capsys.readouterr().err == "bpf-ld: error: cannot find -lx; name the directory that it is in with -L\n"


def test_options_hold_for_the_archives_that_follow(capsys: pytest.CaptureFixture[str]) -> None:
    write_main("f")
    for letter in "abc":
        write_archive(f"lib{letter}.a", (f"{letter}.o", contents(letter)))
    write_archive("libf.a", ("f.o", contents("f", "g")))
    write_archive("libg.a", ("g.o", contents("g", "h")), ("i.o", contents("i")))
    write_archive("libh.a", ("h.o", contents("h", "i")))

    def traced(*arguments: str) -> list[str]:
        assert main(["-t", "-t", "main.o", *arguments]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.endswith(")")]

    arguments = ["--whole-archive", "liba.a", "--no-whole-archive", "libb.a", "libf.a", "libg.a", "libh.a", "-r"]
    assert traced(*arguments) == ["liba.a(a.o)", "libf.a(f.o)", "libg.a(g.o)", "libh.a(h.o)"]
    state = ["--push-state", "--whole-archive", "liba.a", "--pop-state", "libb.a", "libc.a", "-r"]
    assert traced(*state) == ["liba.a(a.o)"]
    grouped = ["libf.a", "--start-group", "libh.a", "libg.a", "--end-group"]
    assert traced(*grouped) == traced("libf.a", "-(", "libh.a", "libg.a", "-)")
    assert traced(*grouped) == ["libf.a(f.o)", "libg.a(g.o)", "libh.a(h.o)", "libg.a(i.o)"]


def test_groups_and_states_must_match(capsys: pytest.CaptureFixture[str]) -> None:
    write_main()
    assert main(["main.o", "--end-group", "--pop-state", "-(", "-("]) == 1
    assert capsys.readouterr().err.splitlines()[:3] == [
        "bpf-ld: error: --end-group: there is no --start-group before it",
        "bpf-ld: error: --pop-state: there is no --push-state before it",
        "bpf-ld: error: -(: groups cannot be nested",
    ]
    assert main(["--start-group", "main.o"]) == 0
    assert "warning: --start-group without --end-group" in capsys.readouterr().err


def test_an_archive_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    write_main("f")
    made = archive(("f.o", contents("f")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made)))
    assert main(["main.o", "-", "-Map=map"]) == 0
    assert "<stdin>(f.o)" in Path("map").read_text()


def test_members_are_traced_and_named_in_messages(capsys: pytest.CaptureFixture[str]) -> None:
    write_main("f")
    write_archive("libx.a", ("f.o", contents("f main", "gone")))
    assert main(["-t", "-t", "-y", "f", "main.o", "libx.a"]) == 1
    output, errors = capsys.readouterr()
    assert output == "main.o\nlibx.a\nlibx.a(f.o)\n"
    assert "bpf-ld: libx.a(f.o): definition of f\n" in errors
    assert ">>> defined in libx.a(f.o):(.text+0x0)\n" in errors
    assert ">>> referenced by libx.a(f.o):(.text+0x0)\n" in errors
    main(["-t", "main.o", "libx.a"])
    assert capsys.readouterr().out == "main.o\nlibx.a\n"


# What members are not


@pytest.mark.parametrize("with_index", [True, False])
def test_members_that_are_no_objects_matter_only_if_they_are_needed(with_index: bool) -> None:
    write_main("f")
    made = archive(
        ("README", b"text\n"),
        ("f.o", contents("f")),
        ("x86.o", b"\x7fELF\2\1\1" + bytes(57)),
        index=index(("f", 0), ("other", 0)) if with_index else None,
    )
    Path("libx.a").write_bytes(made)
    assert taken("main.o", "libx.a") == ["main.o", "libx.a(f.o)"]


def test_a_needed_member_that_is_no_object_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    write_main("f")
    names = index(("f", 8 + 60 + 4 + 4 + 2))
    Path("libx.a").write_bytes(archive(("f.o", b"BC\xc0\xde...."), index=names))
    assert main(["main.o", "libx.a"]) == 1
    assert capsys.readouterr().err == (
        "libx.a(f.o): error: is LLVM bitcode; compile it without -flto or -emit-llvm\n"
    )


def test_a_member_whose_names_are_not_known_is_told_of_where_names_are_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_main("f")
    write_archive("libx.a", ("f.o", b"BC\xc0\xde...."), ("README", b"text\n"), ("g.o", contents("g")))
    assert main(["main.o", "libx.a"]) == 1
    errors = capsys.readouterr().err
    assert "libx.a(f.o): warning: is LLVM bitcode; compile it without -flto or -emit-llvm; " in errors
    assert "README" not in errors
    write_main("g")
    assert main(["main.o", "libx.a"]) == 0
    assert capsys.readouterr().err == ""


def test_a_whole_archive_leaves_no_member_out_silently(capsys: pytest.CaptureFixture[str]) -> None:
    write_archive("libx.a", ("README", b"text\n"), ("f.o", contents("f")), ("inner.a", archive()))
    assert main(["--whole-archive", "libx.a"]) == 1
    errors = capsys.readouterr().err
    assert "libx.a(README): error: is not an ELF file" in errors
    assert "libx.a(inner.a): error: is an archive, not an object" in errors


@pytest.mark.parametrize("others", [["libb.a"], ["libb.a", "liba.a", "-u", "first"]])
def test_an_archive_that_was_named_too_early_is_told_of(
    others: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_main("b")
    write_archive("liba.a", ("first.o", contents("first")), ("a.o", contents("a b2 b3")))
    write_archive("libb.a", ("b.o", contents("b", "a", "missing")))
    assert main(["liba.a", "main.o", *others[:1], "-o", "out.o", *others[2:]]) == 1
    assert capsys.readouterr().err.split(">>> link the object")[0] == (
        "bpf-ld: error: undefined symbol: a\n"
        ">>> referenced by libb.a(b.o):(.text+0x0)\n"
        ">>> liba.a(a.o) defines it, but was named before libb.a(b.o): name it later, or use --start-group\n"
        "bpf-ld: error: undefined symbol: missing\n"
        ">>> referenced by libb.a(b.o):(.text+0x8)\n"
    )


def test_the_byte_order_of_a_member_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    write_main("f")
    text = code()
    big = write_object(obj("x", text, glob("f", text), order=ByteOrder.BIG))
    write_archive("libx.a", ("f.o", big))
    assert main(["main.o", "libx.a"]) == 1
    assert "libx.a(f.o): error: is big-endian, but main.o is little-endian" in capsys.readouterr().err
    assert main(["-EL", "main.o", "libx.a"]) == 1
    assert "libx.a(f.o): error: is big-endian, but -EL was given" in capsys.readouterr().err


def test_a_link_of_an_empty_archive_alone_has_no_input(capsys: pytest.CaptureFixture[str]) -> None:
    write_main()
    Path("libx.a").write_bytes(b"!<arch>\n")
    assert main(["main.o", "libx.a"]) == 0
    assert main(["libx.a"]) == 1
    assert capsys.readouterr().err == "bpf-ld: error: libx.a has no members, so there is nothing to link\n"


def test_a_link_of_archives_alone_of_which_nothing_is_wanted_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    write_archive("libx.a", ("f.o", contents("f")))
    write_archive("liby.a", ("g.o", contents("g")))
    assert main(["libx.a", "-L.", "-ly"]) == 1
    message = "no member of libx.a, ./liby.a is needed: use --whole-archive before it, or -u NAME"
    assert capsys.readouterr().err == f"bpf-ld: error: {message}\n"
    assert main(["-u", "f", "libx.a"]) == 0


@pytest.mark.parametrize(
    ("text", "meant"), [("x.a", "-l :libx.a"), ("libx.a", "-l :libx.a"), ("libx", "-l :libx.a"), ("y", "")]
)
def test_a_library_that_is_named_by_its_file_is_known(
    text: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_archive("libx.a", ("f.o", contents("f")))
    assert main(["-L.", f"-l{text}"]) == 1
    remedy = f"; did you mean {meant}?" if meant else ""
    assert capsys.readouterr().err.startswith(f"bpf-ld: error: cannot find -l{text}{remedy}\n")


# Formats


NAMES = ["f.o", "a name that is much longer than sixteen bytes.o", "with space.o", "dir.ectory.o"]
DEFINED = ["f", "g", "h", "i"]

WRITERS: dict[str, tuple[Peer, *tuple[str, ...]]] = {
    "gnu ar": (Peer.GNU_AR, "rcs"),
    "gnu ar, no index": (Peer.GNU_AR, "rcS"),
    "gnu ar, thin": (Peer.GNU_AR, "rcsT"),
    "llvm gnu": (Peer.LLVM_AR, "--format=gnu", "rcs"),
    "llvm gnu, no index": (Peer.LLVM_AR, "--format=gnu", "rcS"),
    "llvm thin": (Peer.LLVM_AR, "--thin", "rcs"),
    "llvm bsd": (Peer.LLVM_AR, "--format=bsd", "rcs"),
    "llvm bsd, no index": (Peer.LLVM_AR, "--format=bsd", "rcS"),
    "llvm darwin": (Peer.LLVM_AR, "--format=darwin", "rcs"),
    "llvm coff": (Peer.LLVM_AR, "--format=coff", "rcs"),
}


def write_members() -> list[Path]:
    Path("lib").mkdir()
    paths = [Path("lib") / name for name in NAMES]
    for path, defined in zip(paths, DEFINED, strict=True):
        # Of odd and even lengths.
        path.write_bytes(contents(defined) + b"\0" * (len(path.name) % 2))
    return paths


@pytest.mark.peer
@pytest.mark.parametrize("writer", WRITERS)
def test_what_other_tools_write_is_read(writer: str) -> None:
    peer, *options = WRITERS[writer]
    paths = write_members()
    peer.run(*options, "lib/libx.a", *paths)
    members = read_archive(Path("lib/libx.a").read_bytes(), "lib/libx.a")
    assert [os.path.basename(member.name) for member in members] == NAMES
    for member, path in zip(members, paths, strict=True):
        # LLVM's for Darwin pads members to 8 bytes and counts that as contents.
        assert member.read().rstrip(b"\0\n") == path.read_bytes().rstrip(b"\0")
    has_index = "no index" not in writer
    assert [member.indexed for member in members] == [(name,) if has_index else () for name in DEFINED]
    write_main("i", "g")
    assert taken("main.o", "lib/libx.a") == ["main.o", f"lib/libx.a({NAMES[1]})", f"lib/libx.a({NAMES[3]})"]


@pytest.mark.peer
def test_an_index_of_64_bit_numbers_is_read() -> None:
    made = Path("libx.a")
    made.write_bytes(
        b"!<arch>\n"
        + header("/SYM64/", 18)
        + (1).to_bytes(8, "big")
        + (8 + 60 + 18).to_bytes(8, "big")
        + b"f\0"
        + header("f.o/", 4)
        + b"junk"
    )
    (member,) = read_archive(made.read_bytes(), "libx.a")
    assert (member.name, member.indexed, member.read()) == ("f.o", ("f",), b"junk")


@pytest.mark.peer
def test_an_index_that_is_older_than_the_members_does_not_matter() -> None:
    write_main("f")
    Path("f.o").write_bytes(contents("old"))
    Peer.GNU_AR.run("rcs", "libx.a", "f.o")
    Path("f.o").write_bytes(contents("f"))
    Peer.GNU_AR.run("rS", "libx.a", "f.o")
    assert taken("main.o", "libx.a") == ["main.o", "libx.a(f.o)"]


@pytest.mark.peer
def test_a_thin_archive_of_archives_is_read() -> None:
    write_main("g")
    Path("f.o").write_bytes(contents("f"))
    Path("g.o").write_bytes(contents("g"))
    Peer.GNU_AR.run("rcs", "libinner.a", "f.o", "g.o")
    Peer.GNU_AR.run("rcsT", "libouter.a", "libinner.a")
    (name,) = taken("main.o", "libouter.a")[1:]
    assert name.startswith("libouter.a(libinner.a+0x")


@pytest.mark.peer
def test_a_file_that_a_thin_archive_names_may_be_missing(capsys: pytest.CaptureFixture[str]) -> None:
    write_main("f")
    Path("lib").mkdir()
    Path("lib/f.o").write_bytes(contents("f"))
    Peer.GNU_AR.run("rcsT", "lib/libx.a", "lib/f.o")
    Path("lib/f.o").unlink()
    assert main(["main.o", "lib/libx.a"]) == 1
    assert capsys.readouterr().err == (
        "lib/libx.a(f.o): error: cannot read lib/f.o: No such file or directory; "
        "the archive is thin: it only names its members' files\n"
    )


@pytest.mark.peer
def test_gnu_ld_takes_the_same_members_in_the_same_order() -> None:
    random_numbers = random.Random(4)  # noqa: S311
    count = 12
    for turn in range(20):
        members = {}
        for number in range(count):
            wanted = [f"f{random_numbers.randrange(2 * count)}" for _ in range(random_numbers.randrange(3))]
            members[f"m{number}.o"] = contents(f"f{random_numbers.randrange(count)}", *wanted)
        for name, text in members.items():
            Path(name).write_bytes(text)
        halves = list(members)[: count // 2], list(members)[count // 2 :]
        for library, names in zip(("liba.a", "libb.a"), halves, strict=True):
            Path(library).unlink(missing_ok=True)
            Peer.GNU_AR.run("rcs", library, *names)
        write_main(*(f"f{random_numbers.randrange(count)}" for _ in range(3)))
        grouped = turn % 2
        order = ["-(", "liba.a", "libb.a", "-)"] if grouped else ["liba.a", "libb.a"]
        done = Peer.GNU_LD.run("-r", "-z", "muldefs", "-t", "-t", "main.o", *order, "-o", "x")
        theirs = [line for line in done.text.splitlines() if line.startswith("(")]
        ours = taken("main.o", *(Input(name, group=grouped) for name in ("liba.a", "libb.a")))[1:]
        assert [name.replace("(", "").replace(")", "") for name in theirs] == [
            name.replace("(", "").replace(")", "") for name in ours
        ]


# What is damaged


def small_archives() -> dict[str, bytes]:
    bsd = b"!<arch>\n" + header("#1/12", 12 + 26) + b"__.SYMDEF\0\0\0" + (8).to_bytes(4, "little")
    bsd += bytes(4) + (8 + 60 + 38).to_bytes(4, "little") + (14).to_bytes(4, "little") + b"f\0"
    bsd += bytes(8) + header("#1/3", 7) + b"f.oJUNK\n"
    table = b"a_long_name_of_a_member.o/\n\n"
    gnu = b"!<arch>\n" + header("/", 10) + index(("f", 8 + 60 + 10 + 60 + len(table)))
    gnu += header("//", len(table)) + table + header("/0", 3) + b"abc\n" + header("short.o/", 2) + b"xy"
    return {"bsd": bsd, "gnu": gnu, "thin": gnu.replace(b"!<arch>", b"!<thin>")}


def assert_read_or_refused(contents: bytes) -> None:
    try:
        members = read_archive(contents, "libx.a")
    except BpfasError as error:
        message = str(error)
    else:
        message = ""
        assert all(len(member.data or b"") <= len(contents) for member in members)
    assert message.startswith("libx.a: error: ") or not message


@pytest.mark.parametrize("format_", ["bsd", "gnu", "thin"])
def test_an_archive_cut_off_anywhere_is_read_or_an_error(format_: str) -> None:
    whole = small_archives()[format_]
    for size in range(8, len(whole)):
        assert_read_or_refused(whole[:size])


@given(st.sampled_from(sorted(small_archives())), st.integers(0, 300), st.binary(min_size=1, max_size=8))
def test_any_bytes_in_an_archive_are_read_or_an_error(format_: str, place: int, junk: bytes) -> None:
    whole = bytearray(small_archives()[format_])
    place %= len(whole) - 8
    whole[8 + place : 8 + place + len(junk)] = junk
    assert_read_or_refused(bytes(whole))


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (archive(("f.o", b"abcd"))[:-1], "member f.o/ at 0x8 is said to have 4 bytes, but only 3 are left"),
        (archive(("f.o", b"abcd"))[:30], "ends within the header of a member at 0x8; is the archive truncated?"),
        (b"!<arch>\n" + header("f.o/", 0)[:-2] + b"xx", "the header of a member at 0x8 ends in 78 78, not 60 0a"),
        (
            b"!<arch>\n" + header("f.o/", 0).replace(b"0         `", b"-1        `"),
            "the size of member f.o/ at 0x8",
        ),
        (b"!<arch>\n" + header("/7", 0), "the name of the member at 0x8 is at 7 of a table of 0 bytes"),
        (b"!<arch>\n" + header("#1/9", 3) + b"abc\n", "the name of the member at 0x8 is said to have 9 bytes"),
        (b"!<arch>\n" + header("f.o/", 9_999_999_999), "member f.o/ at 0x8 is said to have 9999999999 bytes"),
    ],
)
def test_what_is_wrong_with_an_archive_is_said(
    damaged: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("libx.a").write_bytes(damaged)
    assert main(["libx.a"]) == 1
    assert capsys.readouterr().err.startswith(f"libx.a: error: {message}")


def test_an_odd_member_may_end_the_file() -> None:
    made = archive(("f.o", b"abc"))
    assert [member.read() for member in read_archive(made[:-1], "libx.a")] == [b"abc"]
    assert read_object(contents("f"), "f.o").symbol("f")


def test_a_newline_behind_the_members_is_let_pass() -> None:
    assert [member.name for member in read_archive(archive(("f.o", b"abcd")) + b"\n", "libx.a")] == ["f.o"]
