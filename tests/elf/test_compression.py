"""Compressed sections, as clang and GCC write debugging information with -gz."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.compression import MAX_UNCOMPRESSED
from bpfas.elf.constants import ByteOrder, CompressionType, SectionFlag, SectionType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Strip
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RelocationNumber
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

CONTENTS = bytes(range(64)) * 16


def chdr(
    ch_type: int = CompressionType.ZLIB,
    ch_size: int = len(CONTENTS),
    ch_addralign: int = 4,
    order: ByteOrder = ByteOrder.LITTLE,
) -> bytes:
    return struct.pack(f"{order.value}IIQQ", ch_type, 0, ch_size, ch_addralign)


def compressed(data: bytes, flags: int = 0, sh_type: int = SectionType.PROGBITS) -> Section:
    return Section(".debug_info", sh_type, SectionFlag.COMPRESSED | flags, 8, 0, data)


def image(section: Section, order: ByteOrder = ByteOrder.LITTLE, *, relocated_at: int | None = None) -> bytes:
    """A file with that section."""
    obj = ObjectFile("a.o", order, [section])
    if relocated_at is not None:
        symbol = Symbol("x", SpecialSection.ABS, 1)
        obj.symbols.append(symbol)
        section.relocations = [Relocation(0, RelocationNumber.R_BPF_64_ABS64, symbol)]
        data = bytearray(write_object(obj))
        at = bytes(data).index(struct.pack(f"{order.value}QII", 0, 2, 1))
        struct.pack_into(f"{order.value}Q", data, at, relocated_at)
        return bytes(data)
    return write_object(obj)


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("is_on_demand", [False, True])
def test_a_compressed_section_comes_uncompressed(order: ByteOrder, is_on_demand: bool) -> None:
    data = image(compressed(chdr(order=order) + zlib.compress(CONTENTS)), order)
    section = read_object(data, "a.o", on_demand=lambda _: is_on_demand).sections[0]
    assert (section.sh_flags, section.sh_addralign) == (0, 4)
    assert section.data == CONTENTS


def test_offsets_of_relocations_count_in_the_uncompressed_contents() -> None:
    section = compressed(chdr() + zlib.compress(CONTENTS))
    assert len(section.data) < len(CONTENTS) - 8
    read = read_object(image(section, relocated_at=len(CONTENTS) - 8), "a.o").sections[0]
    assert [reloc.r_offset for reloc in read.relocations] == [len(CONTENTS) - 8]
    with pytest.raises(BpfasError, match="lies beyond the section's end at 0x400"):
        read_object(image(section, relocated_at=len(CONTENTS) - 7), "a.o")


WRONG = {
    "no header": (compressed(b"\1\0\0\0"), "its 4 bytes are too few for a compression header"),
    "too much is promised": (
        compressed(chdr(ch_size=1 << 60) + zlib.compress(CONTENTS)),
        rf"is to be {1 << 60} bytes when uncompressed \(ch_size\).* more than {MAX_UNCOMPRESSED}",
    ),
    "too little": (
        compressed(chdr(ch_size=1025) + zlib.compress(CONTENTS)),
        "should be 0x401 bytes.* but are 0x400",
    ),
    "too much": (compressed(chdr(ch_size=1023) + zlib.compress(CONTENTS)), "should be 0x3ff bytes.* but are more"),
    "far too much": (compressed(chdr(ch_size=9) + zlib.compress(bytes(1 << 24))), "should be 0x9 bytes"),
    "truncated": (compressed(chdr() + zlib.compress(CONTENTS)[:-4]), r"\.debug_info\): .*is the file damaged"),
    "damaged": (compressed(chdr() + b"abcdefgh"), "compressed by zlib, are damaged: "),
    "alignment": (compressed(chdr(ch_addralign=3) + zlib.compress(CONTENTS)), r"alignment 0x3 \(ch_addralign\)"),
    "loaded": (
        compressed(chdr() + zlib.compress(CONTENTS), SectionFlag.ALLOC),
        "which a section that is loaded cannot be",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_compressed_section_is_told(case: str) -> None:
    section, message = WRONG[case]
    data = image(section)
    with pytest.raises(BpfasError, match=message):
        read_object(data, "a.o")
    on_demand = read_object(data, "a.o", on_demand=lambda _: True)
    for _ in range(2):
        with pytest.raises(BpfasError, match=message):
            _ = on_demand.sections[0].data


def test_the_sections_of_a_file_together_are_bounded() -> None:
    half = compressed(chdr(ch_size=MAX_UNCOMPRESSED // 2 + 1) + zlib.compress(bytes(MAX_UNCOMPRESSED // 2 + 1)))
    with pytest.raises(BpfasError, match="all of the file"):
        read_object(write_object(ObjectFile("a.o", sections=[half, half])), "a.o")


UNKNOWN = 77


def test_what_no_library_can_undo_stays_as_it_is() -> None:
    section = compressed(chdr(UNKNOWN) + b"?" * 99)
    read = read_object(image(section, relocated_at=1000), "a.o").sections[0]
    assert (read.data, read.relocations) == (section.data, [])
    assert read.sh_flags == SectionFlag.COMPRESSED


def test_a_link_without_debugging_information_does_without_what_it_cannot_read() -> None:
    obj = read_object(image(compressed(chdr(UNKNOWN))), "a.o")
    with pytest.raises(BpfasError, match=r"a method of unknown number 77.*\n.*-gz=zlib or without -gz.*-S"):
        link([obj])
    assert link([obj], options=LinkOptions(strip=Strip.DEBUG)).sections == []


SINKS = {"a": "int sink", "b": "extern int sink"}


@pytest.mark.peer
def test_clangs_compressed_debugging_information_links_as_what_it_stands_for(tmp_path: Path) -> None:
    many = "int sink;\n" + "\n".join(
        f"int NAME{i}(int value, int other) {{ for (int j = value; j; j--) sink += other * {i}; return sink; }}"
        for i in range(20)
    )
    sources = {name: many.replace("int sink", keyword).replace("NAME", name) for name, keyword in SINKS.items()}
    linked, compiled = [], []
    for options in (["-gz=none"], ["-gz=zlib"]):
        objects = []
        for name, text in sources.items():
            (tmp_path / f"{name}.c").write_text(text)
            command = ["-target", "bpf", "-O2", "-g", *options, "-c", f"{name}.c", "-o", f"{name}.o"]
            Peer.CLANG.run(*command, directory=tmp_path)
            objects.append((tmp_path / f"{name}.o").read_bytes())
        linked.append(write_object(link([read_object(data, "x.o") for data in objects])))
        compiled.append(objects)
    assert [len(data) for data in compiled[0]] > [len(data) for data in compiled[1]]
    assert linked[0] == linked[1]
