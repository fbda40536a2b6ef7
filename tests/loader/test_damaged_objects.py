"""Objects with arbitrary contents give an image or an error that names what is wrong, nothing else."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.loader.image import build_image
from bpfas.loader.spec import Image
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RelocationNumber

from .builders import CALL_SYMBOL, EXIT, LDDW, LDDW_MAP, PASS

NAMES = ("xdp", ".text", ".text.x", "maps", ".data", ".rodata", ".bss", "license", "version", ".BTF.ext", "x")
PIECES = (CALL_SYMBOL, EXIT, LDDW, LDDW_MAP, PASS, LDDW[:8], bytes(4))
offsets = st.integers(0, 12).map(lambda count: 4 * count) | st.integers(0, 2**64 - 1)
contents = st.lists(st.sampled_from(PIECES) | st.binary(max_size=16), max_size=8).map(b"".join)


@st.composite
def sections(draw: st.DrawFn) -> Section:
    """A section of a kind that the loader looks at, whatever it holds."""
    flags = draw(st.sampled_from([0, SectionFlag.EXECINSTR, SectionFlag.WRITE]))
    name = draw(st.sampled_from(NAMES))
    if draw(st.integers(0, 7)) == 0:
        return Section(name, SectionType.NOBITS, flags, nobits_size=draw(offsets))
    return Section(name, SectionType.PROGBITS, flags, data=draw(contents))


@st.composite
def objects(draw: st.DrawFn) -> ObjectFile:
    """An object as the reader promises it: relocations name its symbols, and their fields lie in the sections."""
    parts = draw(st.lists(sections(), max_size=5))
    places = [*parts, *SpecialSection]
    symbols = [
        Symbol(
            draw(st.sampled_from(("a", "b", "", "main"))),
            draw(st.sampled_from(places)),
            draw(offsets),
            draw(st.sampled_from((0, 8, 16)) | offsets),
            draw(st.sampled_from(SymbolBinding)),
            draw(st.sampled_from(SymbolType)),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]
    for section in parts:
        if section.sh_type == SectionType.PROGBITS and len(section.data) >= 16:
            for _ in range(draw(st.integers(0, 3))):
                offset = draw(st.integers(0, len(section.data) // 8 - 2).map(lambda count: 8 * count))
                r_type = draw(st.sampled_from([*RelocationNumber, 5]))
                section.relocations.append(Relocation(offset, r_type, draw(st.sampled_from(symbols))))
    return ObjectFile("x.o", draw(st.sampled_from(ByteOrder)), parts, symbols)


@given(objects())
def test_any_object_gives_an_image_or_errors(source: ObjectFile) -> None:
    with contextlib.suppress(BpfasError):
        assert isinstance(build_image(source), Image)
