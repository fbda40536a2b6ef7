"""Listings: golden ones, and those of GNU as for what does not depend on the layout."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm.cli import main
from bpfas.elf.reader import read_object
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(__file__).parent / "golden" / "listing"

PEER_SOURCE = """\
# comment
	.text
f:	mov %r0, 1
	.macro two a, b
	mov %r1, \\a
	mov %r2, \\b
	.endm
	two 1, 2
	.if 0
	mov %r3, 3
	.else
	mov %r4, 4
	.endif
	.rept 2
	add %r1, 1
	.endr
	.include "part.i"
1:	ja 1b
	.nolist
	exit
	.list
	.data
	.ascii "a text that is longer than the lines of a listing have room for"
	.byte 1, 2, 3
	.bss
	.zero 6
	.end
	exit
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current directory with main.s and part.i."""
    for source in ("main.s", "part.i"):
        shutil.copy(SOURCES / source, tmp_path)
    monkeypatch.chdir(tmp_path)


def listing(source: str, *options: str, forms: str = "aln") -> list[str]:
    """The lines of a source's listing."""
    Path("a.s").write_text(source)
    assert main(["-EL", *options, f"-{forms}=a.lst", "a.s"]) == 0
    return Path("a.lst").read_text().removesuffix("\n").split("\n")


@pytest.mark.parametrize("forms", ["a", "aln", "almn", "alcdn", "almcdn", "asn", "agn"])
def test_golden(forms: str, golden: Callable[[Path, str], None]) -> None:
    assert main(["-EL", f"-{forms}=main.lst", "main.s"]) == 0
    golden(
        SOURCES / f"{forms}.lst", re.sub(r" bpf-as [0-9.]+\n", " bpf-as VERSION\n", Path("main.lst").read_text())
    )


@pytest.mark.peer
@pytest.mark.parametrize(
    ("forms", "options"),
    [
        ("aln", []),
        ("alcn", []),
        ("aln", ["--listing-lhs-width=2", "--listing-lhs-width2=3", "--listing-cont-lines=1"]),
    ],
)
def test_gnu_as_lists_the_same(forms: str, options: list[str]) -> None:
    ours = listing(PEER_SOURCE, *options, forms=forms)
    theirs = Peer.GNU_AS.run(*options, f"-{forms}", "-o", "gnu.o", "a.s").text
    assert [line.rstrip() for line in ours] == [line.rstrip() for line in theirs.splitlines()]


@pytest.mark.peer
def test_gnu_as_divides_the_same_pages() -> None:
    Path("p.s").write_text('.title "t"\n' + "exit\n" * 100)
    assert main(["-EL", "-al=ours.lst", "p.s"]) == 0
    theirs = Peer.GNU_AS.run("-al", "-o", "gnu.o", "p.s").text

    def heads(text: str) -> list[tuple[int, str]]:
        return [(number, line[:1]) for number, line in enumerate(text.split("\n")) if "page " in line and number]

    assert heads(Path("ours.lst").read_text()) == heads(theirs)


def test_all_bytes_of_a_section_are_there_at_their_final_places() -> None:
    source = [
        "jeq %r1, 0, far",
        ".uleb128 far - near",
        ".balign 8",
        "near: ja far",
        ".zero 0x8000 * 8",
        "far: exit",
    ]
    lines = listing("\n".join(source), "--listing-lhs-width=99999")
    section = read_object(Path("a.out").read_bytes(), "a.out").section(".text")
    assert section
    data = bytes(section.data)
    end = 0
    for line in lines:
        offset, words = re.fullmatch(r" *\d+ ([0-9a-f]+) ([0-9A-F ]+)\t.*", line).groups()  # type: ignore[union-attr]
        stretch = bytes.fromhex(words)
        assert (int(offset, 16), stretch) == (end, data[end : end + len(stretch)])
        end += len(stretch)
    assert end == len(data)
    assert data[:8] == bytes.fromhex("1501010000000000")  # jeq +1


def test_relocated_fields_are_shown_as_they_are_in_the_object() -> None:
    assert listing("call f\n.data\n.quad f + 3")[0] == "   1 0000 85100000 \tcall f"
    assert listing("call f\n.data\n.quad f + 3")[3] == "   3 0000 03000000 \t.quad f + 3"


def test_a_section_without_end_is_shown_at_its_beginning() -> None:
    assert (
        listing(".bss\n.zero 1 << 60")[1:] == ["   2 0000 00000000 \t.zero 1 << 60"] + ["   2      00000000"] * 4
    )


def test_listings_may_be_switched_off_more_than_once() -> None:
    source = ".nolist\n.nolist\n.list\nexit\n.list\n.if 0\n.endif\n"
    numbers = [line.split()[0] for line in listing(source)]
    assert numbers == ["5", "6", "7"]


def test_pages_may_have_any_length() -> None:
    source = ".psize 5, 80\n" + "exit\n" * 2 + ".psize 0\n" + "exit\n" * 200
    pages = "\n".join(listing(source, forms="al")).split("\f")
    assert [page.count("\n") for page in pages[:2]] == [5, 5]
    assert len(pages) == 3


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (".title", ".title takes 1 argument, not 0"),
        (".title text", "a string in quotes is needed here"),
        (".list 1", ".list takes 0 arguments, not 1"),
        (".psize 10001", "a page of 10001 lines is not possible"),
        (".psize 60, -1", "a page of -1 columns is not possible"),
    ],
)
def test_directives_that_are_wrong_without_a_listing_too(
    statement: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.s").write_text(f"{statement}\n")
    assert main(["a.s"]) == 1
    assert message in capsys.readouterr().err


def test_the_listing_goes_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.s").write_text("exit\n")
    assert main(["-EL", "-an", "a.s"]) == 0
    assert capsys.readouterr().out == "   1 0000 95000000 \texit\n   1      00000000\n"


def test_the_listing_and_the_object_cannot_go_to_the_same_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-a", "-o", "-", "main.s"]) == 1
    assert "- is the file of two outputs" in capsys.readouterr().err


def test_errors_leave_no_listing() -> None:
    Path("a.s").write_text("exit\nbogus\n")
    assert main(["-a=a.lst", "a.s"]) == 1
    assert not Path("a.lst").exists()


def test_a_listing_does_not_change_the_object() -> None:
    assert main(["main.s", "-o", "1.o"]) == main(["-almn=x", "main.s", "-o", "2.o"]) == 0
    assert Path("1.o").read_bytes() == Path("2.o").read_bytes()


def test_long_lines_are_cut() -> None:
    assert listing("exit # and so on", "--listing-rhs-width=8")[0] == "   1 0000 95000000 \texit # a"


def test_several_sources_are_listed_one_after_the_other() -> None:
    Path("b.s").write_text("exit\n")
    Path("c.s").write_text("\nexit\n")
    assert main(["-EL", "-aln=x", "b.s", "c.s"]) == 0
    assert Path("x").read_text().splitlines() == [
        "   1 0000 95000000 \texit",
        "   1      00000000",
        "   1              \t",
        "   2 0008 95000000 \texit",
        "   2      00000000",
    ]


def test_what_an_expansion_ends_is_listed_as_far_as_it_was_read() -> None:
    source = ".macro m\n.byte 1\n.exitm\n.byte 2\n.endm\nm\n.byte 3\n"
    assert listing(source, forms="almn")[5:] == [
        "   6              \tm",
        "   6 0000 01       \t> .byte 1",
        "   6              \t> .exitm",
        "   7 0001 03       \t.byte 3",
    ]
