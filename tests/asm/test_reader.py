"""What says which text is read next: conditions, macros, repetition, included files, and where all that ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.asm import Options, Reading, assemble, assemble_sources
from bpfas.diag import BpfasError, Source
from bpfas.elf.reader import read_object
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path


def data(text: str, reading: Reading = Reading.BEST) -> bytes:
    section = assemble(f".data\n{text}\n", reading=reading).section(".data")
    return b"" if section is None else bytes(section.data)


def errors(text: str) -> str:
    with pytest.raises(BpfasError) as raised:
        assemble(text, "x.s")
    return str(raised.value)


CONDITIONS = [
    (".if 1\n.byte 1\n.else\n.byte 2\n.endif", b"\1"),
    (".if 0\n.byte 1\n.else\n.byte 2\n.endif", b"\2"),
    (".if 0\n.byte 1\n.elseif 1\n.byte 2\n.elseif 1\n.byte 3\n.else\n.byte 4\n.endif\n.byte 5", b"\2\5"),
    (".if 0\n.if 1\n.byte 1\n.else\n.byte 2\n.endif\n.else\n.byte 3\n.endif", b"\3"),
    (".if 1\n.if 0\n.byte 1\n.else\n.byte 2\n.endif\n.else\n.byte 3\n.endif", b"\2"),
    ("a: .byte 1, 2\nb:\n.if b-a == 2\n.byte 3\n.endif", b"\1\2\3"),
    (".if 0\n this is \" no language\n .endif", b""),
    ('.if 0\n.ascii ".endif"\n.byte 1\n.endif\n.byte 2', b"\2"),
    (".if 1; .byte 1; .else; .byte 2; .endif; .byte 3", b"\1\3"),
    (".if 0; .byte 1; .else; .byte 2; .endif; .byte 3", b"\2\3"),
    ("x: .if 1\n.byte y-x\n.endif\ny:", b"\1"),
    *((f".{name} {value}\n.byte 1\n.endif", expected) for name, value, expected in (
        ("ifeq", 0, b"\1"), ("ifeq", 1, b""), ("ifne", 0, b""), ("ifne", -1, b"\1"),
        ("ifgt", 1, b"\1"), ("ifgt", 0, b""), ("ifge", 0, b"\1"), ("ifge", -1, b""),
        ("iflt", -1, b"\1"), ("iflt", 0, b""), ("ifle", 0, b"\1"), ("ifle", 1, b""),
        ("ifc", "a b , a b", b"\1"), ("ifc", "a,A", b""), ("ifnc", "a,b", b"\1"), ("ifc", ",", b"\1"),
        ("ifb", "", b"\1"), ("ifb", "x", b""), ("ifnb", "x", b"\1"), ("ifnb", "  ", b""),
        ("ifeqs", '"a,b", "a,b"', b"\1"), ("ifeqs", '"a", "b"', b""), ("ifnes", '"a", "b"', b"\1"),
        ("ifdef", "nowhere", b""), ("ifndef", "nowhere", b"\1"), ("ifnotdef", "nowhere", b"\1"),
    )),
    ("here:\n.ifdef here\n.byte 1\n.endif\n.ifdef later\n.byte 2\n.endif\nlater:", b"\1"),
    (".set x, 1\n.ifdef x\n.byte 1\n.endif", b"\1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CONDITIONS)
@pytest.mark.parametrize("reading", [Reading.PLAIN, Reading.SHAPES, Reading.BATCHES])
def test_conditions(text: str, expected: bytes, reading: Reading) -> None:
    assert data(text, reading) == expected


MACROS = [
    (".macro m\n.byte 1\n.endm\nm\nM\n", b"\1\1"),
    (".macro m a, b=2\n.byte \\a, \\b\n.endm\nm 1\nm 3, 4\nm b=5, a=6\n", b"\1\2\3\4\6\5"),
    (".macro m rest:vararg\n.byte \\rest\n.endm\nm 1, 2, 3\n", b"\1\2\3"),
    (".macro m\n.byte \\@\n.endm\nm\nm\n", b"\0\1"),
    ('.macro m a\n.ascii "\\a"\nx\\a\\()y:\n.endm\nm q\n.byte xqy-.\n', b"q\0"),
    (".macro m n\n.if \\n\n.byte \\n\nm \\n-1\n.endif\n.endm\nm 3\n", b"\3\2\1"),
    (".macro m n\n.byte 1\n.if \\n\n.exitm\n.endif\n.byte 2\n.endm\nm 0\nm 1\n.byte 9", b"\1\2\1\x09"),
    (".macro outer\n.macro inner\n.byte 7\n.endm\n.endm\nouter\ninner\n", b"\7"),
    (".macro m\n.byte 1\n.endm\n.purgem m\n.macro m\n.byte 2\n.endm\nm\n", b"\2"),
    (".macro m; .byte 1; .endm; m; m", b"\1\1"),
    ("a: .macro m\n.byte 1\n.endm\nb: m\nc:.byte c-b, b-a", b"\1\1\0"),
    (".macro mov a\n.byte \\a\n.endm\nmov 5\n", b"\5"),
    (".macro m\n.byte 1\n.endm\nm = 3\n.byte m\n", b"\3"),
    (".altmacro\n.macro m a, b\n.byte a, b\n.endm\nm %1+2, <4>\n.noaltmacro\n", b"\3\4"),
    (".altmacro\n.macro m\nLOCAL x\nx: .byte x-.\n.endm\nm\nm\n", b"\0\0"),
    (".rept 3\n.byte 1\n.endr\n.byte 2", b"\1\1\1\2"),
    (".rept 0\n.byte 1\n.endr\n", b""),
    (".rept 2\n.rept 2\n.byte 1\n.endr\n.byte 2\n.endr\n", b"\1\1\2\1\1\2"),
    (".irp x, 1, 2, 3\n.byte \\x\n.endr\n", b"\1\2\3"),
    (".irpc x, 123\n.byte \\x\n.endr\n", b"\1\2\3"),
    (".rept 2\n1: .byte 1f-1b\n1:\n.endr\n", b"\1\1"),
]


@pytest.mark.parametrize(("text", "expected"), MACROS)
@pytest.mark.parametrize("reading", [Reading.PLAIN, Reading.SHAPES, Reading.BATCHES])
def test_macros_and_repetition(text: str, expected: bytes, reading: Reading) -> None:
    assert data(text, reading) == expected


@pytest.mark.peer
@pytest.mark.parametrize(
    "text", [text for text, _ in (*CONDITIONS, *MACROS) if ".macro mov" not in text and "a: .macro" not in text]
)
def test_gnu_as_makes_the_same(text: str, tmp_path: Path) -> None:
    # GNU as 2.40 takes `;` for the beginning of a comment, and a text in quotes cannot span a line there.
    if ";" in text or "no language" in text:
        return
    source, output = tmp_path / "x.s", tmp_path / "x.o"
    source.write_text(f".data\n{text}\n")
    Peer.GNU_AS.run("-EL", "-o", output, source)
    section = read_object(output.read_bytes(), "x.o").section(".data")
    assert section is not None
    assert data(text) == section.data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".else", "x.s:1:1: error: .else has no .if before it"),
        ("exit\n.endif", "x.s:2:1: error: .endif has no .if before it"),
        (".if 1\nexit\n", "x.s:1:1: error: .if has no .endif"),
        (".if 0\nexit\n", "x.s:1:1: error: .if has no .endif"),
        (".if 1\n.else\n.else\n.endif", "x.s:3:1: error: .else behind .else\n.else\n^~~~~\n>>> .if is at x.s:1:1"),
        (".if 0\n.else\n.elseif 1\n.endif", "x.s:3:1: error: .elseif behind .else"),
        (".if later\n.endif\n", "x.s:1:5: error: the condition must be a number that is known here"),
        (".if\n.endif\n", "x.s:1:1: error: .if takes 1 argument, not 0"),
        (".ifc a\n.endif\n", "x.s:1:1: error: .ifc compares two texts with a comma between them"),
        (".ifeqs a, b\n.endif\n", "x.s:1:1: error: .ifeqs compares two strings"),
        (".ifdef 5\n.endif\n", "x.s:1:8: error: a name is needed here"),
        (".macro m\nexit\n", "x.s:1:1: error: .macro has no .endm"),
        (".rept 2\nexit\n", "x.s:1:1: error: .rept has no .endr"),
        (".endm", "x.s:1:1: error: .endm has no beginning"),
        (".exitm", "x.s:1:1: error: .exitm stands outside a macro"),
        (".purgem m", "x.s:1:1: error: there is no macro `m`"),
        (".macro m\n.endm\n.macro m\n.endm", "x.s:3:1: error: macro `m` is already defined"),
        (".macro .byte\n.endm", "x.s:1:1: error: `.byte` is a directive, which a macro cannot replace"),
        (".macro m a:req\n.endm\nm", "x.s:3:1: error: macro `m` needs a value for its parameter `a`"),
        (".macro m a\n.endm\nm 1, 2", "x.s:3:6: error: macro `m` takes 1 argument, not more"),
        (".altmacro\n.macro m a\n.endm\nm %(1/0)", "x.s:4:3: error: division by zero\nm %(1/0)\n  ^~~~~~"),
        (".altmacro\n.macro m a, b\n.endm\nm 1, %1 +", "x.s:4:6: error: unexpected end of the statement"),
        (".altmacro\n.macro m a\n.endm\nm %x", "x.s:4:3: error: the value behind % must be a number that is kno"),
        (
            ".altmacro\n.macro m a\n.endm\n.macro n\nm %(1/0)\n.endm\nn",
            "x.s:5:3: error: division by zero\nm %(1/0)\n  ^~~~~~\n>>> ",
        ),
        (".rept -1\n.endr", "x.s:1:1: error: the count -1 is negative"),
        (".rept x\nbogus\n.endr", "x.s:1:7: error: the count must be a number that is known here"),
        (".rept 1<<40\nexit\n.endr", "x.s:1:1: error: 1099511627776 times 6 characters are more than"),
        (".include 5", "x.s:1:10: error: a string in quotes is needed here"),
        ('.include "nowhere.s"', "x.s:1:1: error: there is no file `nowhere.s` in .; -I names more directories"),
        (".abort\nbogus", "x.s:1:1: error: .abort ends the assembly"),
        (".err", "x.s:1:1: error: .err was read"),
        ('.error "no good"', "x.s:1:1: error: no good"),
        (".endiff", "x.s:1:1: error: unknown directive `.endiff`; did you mean `.endif`?"),
    ],
)
def test_what_is_wrong(text: str, message: str) -> None:
    found = errors(text)
    assert message in found
    assert found.count("error:") == 1


def test_a_condition_belongs_to_the_text_that_opens_it() -> None:
    found = errors(".macro m\n.if 1\n.endm\nm\n.endif\n")
    assert "x.s:2:1: error: .if has no .endif" in found
    assert "x.s:5:1: error: .endif has no .if before it" in found


def test_places_in_macros_are_those_of_the_definition_and_of_all_calls() -> None:
    found = errors(".macro inner a\n\n  mov %r1, \\a\n.endm\n.macro outer\ninner 1<<40\n.endm\nexit\nouter\n")
    assert found.splitlines() == [
        (
            "x.s:3:12: error: immediate 1099511627776 is out of range -2147483648 to 4294967295; "
            "`lddw` (`ldimm64`, `rN = … ll`) loads 64 bits"
        ),
        "  mov %r1, 1<<40",
        "           ^~~~~",
        ">>> in the expansion of macro `inner` at x.s:6:1",
        ">>> in the expansion of macro `outer` at x.s:9:1",
    ]


def test_places_in_repetitions() -> None:
    found = errors("\n.rept 2\nexit\nbogus\n.endr\nfoo\n")
    assert [line.partition(": ")[0] for line in found.splitlines() if "error" in line] == ["x.s:4:1"] * 2 + [
        "x.s:6:1"
    ]


def test_line_markers_of_a_preprocessor_tell_places() -> None:
    found = errors('# 1 "prog.S"\n# 1 "<built-in>"\n# 10 "prog.S"\nexit\nbogus\n# 0 "" 2\nfoo\n')
    assert "prog.S:11:1: error: unknown instruction `bogus`" in found
    assert "x.s:7:1: error: unknown instruction `foo`" in found


def test_line_markers_of_gcc_12() -> None:
    found = errors('; 10 "prog.c" 1\nexit\nbogus # 7\n; 0 "" 2\r\nfoo\n.ascii "\\n; 9"\n; 8 "odd.c" 1; bar\n')
    assert [line.partition(": error")[0] for line in found.splitlines() if "error" in line] == [
        "prog.c:11:1",
        "x.s:5:1",
        "x.s:7:3",
        "x.s:7:16",
    ]


IDENT = '.ident "GCC: (12.2.0-14+deb12u1+) 12.2.0"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(".byte 1\t; x, y\n;\tit is `so'\n\t.byte 2;", b"\1\2", id="tails and lines"),
        pytest.param('.ascii "a;b" ; "c"\n.byte \';\' ; \'e', b"a;b;", id="strings"),
        pytest.param(".byte 1 ; a /* b\n.byte 2 /* ; */\n/* c\n; */ .byte 3", b"\1\2\3", id="the first counts"),
        pytest.param(".byte 1 # a ; b\n.byte 2 // c ; d\n; e # f\n.byte 3", b"\1\2\3", id="of other kinds"),
    ],
)
@pytest.mark.parametrize("reading", [Reading.PLAIN, Reading.SHAPES, Reading.BATCHES])
def test_comments_in_what_an_old_gcc_has_written(text: str, expected: bytes, reading: Reading) -> None:
    assert data(f"{text}\n{IDENT}", reading) == expected


@pytest.mark.peer
def test_comments_of_an_old_gcc_are_gnu_s_of_its_time(tmp_path: Path) -> None:
    text = '\t.ascii "a;b" ; "c"\n\t.byte 1 ; .byte 2\n; .byte 3\n\t.byte 4 /* ; */\n'
    (tmp_path / "x.s").write_text(f"{text}{IDENT}\n")
    Peer.GNU_AS.run("-EL", tmp_path / "x.s", "-o", tmp_path / "x.o")
    theirs = read_object((tmp_path / "x.o").read_bytes(), "x.o").section(".text")
    found = assemble(f"{text}{IDENT}\n").section(".text")
    assert found
    assert theirs
    assert bytes(theirs.data).startswith(found.data)
    assert found.data == b"a;b\1\4"


@pytest.mark.parametrize(
    "ident",
    [
        "",
        '.ident "GCC: (GNU) 14.1.0"',
        '.ident "clang version 12.0.0"',
        f"# {IDENT}",
        '.ascii ".ident \\"GCC: (GNU) 12.2.0\\""',
    ],
)
def test_a_semicolon_separates_where_no_old_gcc_has_written(ident: str) -> None:
    assert data(f".byte 1; .byte 2 ; .byte 3\n.text\n{ident}", Reading.BATCHES) == b"\1\2\3"


def test_kernel_text_in_what_an_old_gcc_has_written() -> None:
    text = "0: (b7) r0 = 1 ; R0=1\n\texit ; x\n"
    assert len(bytes(assemble(f"{text}{IDENT}\n").sections[0].data)) == 16


def test_included_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "a.s").write_text('.byte 1\n.include "b.s"\n.end\nnonsense\n')
    (tmp_path / "inc" / "b.s").write_text(".byte 2\n")
    options = Options(include_directories=("inc",))
    source = Source("x.s", '.data\n.include "a.s"\n.byte 3\n')
    assembled = assemble_sources([source], "x.o", options)
    section = assembled.object_file.section(".data")
    assert section is not None
    assert section.data == b"\1\2\3"
    assert assembled.dependencies == ["inc/a.s", "inc/b.s"]
    (tmp_path / "inc" / "b.s").write_text("\nbogus\n")
    with pytest.raises(BpfasError) as raised:
        assemble_sources([source], "x.o", options)
    assert str(raised.value).splitlines() == [
        "inc/b.s:2:1: error: unknown instruction `bogus`",
        "bogus",
        "^~~~~",
        ">>> included from inc/a.s:2:1",
        ">>> included from x.s:2:1",
    ]


def test_a_file_that_includes_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.s").write_text('.include "a.s"\n')
    found = errors('.include "a.s"')
    assert "a.s:1:1: error: included files and macros are nested more than 100 levels deep" in found
    assert len(found.splitlines()) < 20


def test_macros_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nested more than 100 levels deep" in errors(".macro m\nm\n.endm\nm\n")
    monkeypatch.setattr("bpfas.asm.reader.EXPANSION_LIMIT", 1 << 22)  # the real one takes long to reach
    wide = "".join(
        f".macro m{level}\nm{level + 1}\n.rept 1000\nm{level + 1}\n.endr\n.endm\n" for level in range(4)
    )
    assert "the expansions would have more than" in errors(f"{wide}.macro m4\n.fill 1\n.endm\nm0\n")
    doubling = ".macro m a\nm \\a\\a\\a\\a\\a\\a\\a\\a\n.endm\nm xxxxxxxxxxxxxxxx\n"
    assert "the expansions would have more than" in errors(doubling)


def test_end_ends_the_source() -> None:
    assert data(".byte 1\n.end\nnonsense {") == b"\1"


def test_messages(capsys: pytest.CaptureFixture[str]) -> None:
    assembled = assemble_sources([Source("x.s", '.print "one"\n.warning "two"\n.warning\n')], "x.o", Options())
    assert capsys.readouterr().out == "one\n"
    assert [(warning.render().splitlines()[0]) for warning in assembled.warnings] == [
        "x.s:2:1: warning: two",
        "x.s:3:1: warning: .warning was read",
    ]


@pytest.mark.parametrize("reading", [Reading.SHAPES, Reading.BATCHES])
def test_blocks_that_span_many_lines_of_a_large_source(reading: Reading) -> None:
    lines = "r1 = 1\nr2 += r3\n" * 50
    text = (
        f"{lines}.macro m a\n{lines}r4 = \\a\n.endm\n{lines}m 5; r6 = 6\n{lines}.if 0\n{lines}.endif; r7 = 7\n"
        f"{lines}.rept 2\nr8 = 8\n.endr; exit\n.macro exit\nr9 = 9\n.endm\n{lines}exit\n"
    )
    section = assemble(text, reading=reading).section(".text")
    expected = assemble(
        f"{lines}{lines}{lines}r4 = 5\nr6 = 6\n{lines}r7 = 7\n{lines}r8 = 8\nr8 = 8\nexit\n{lines}r9 = 9\n"
    ).section(".text")
    assert section is not None
    assert expected is not None
    assert section.data == expected.data
