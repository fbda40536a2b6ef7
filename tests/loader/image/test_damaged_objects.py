"""Objects with arbitrary contents give an image or an error that names what is wrong, nothing else."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.btf.codecs import EncodingError
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder, SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.elf.reader import read_object
from bpfas.loader.image.build import build_image
from bpfas.loader.spec import Image
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from bpfas.reloc import RelocationNumber
from tests.loader.builders import CALL, CALL_SYMBOL, EXIT, LDDW, LDDW_MAP, PASS, code, function, obj, relocate

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = (
    "xdp",
    ".text",
    ".text.x",
    "maps",
    ".data",
    ".rodata",
    ".bss",
    "license",
    "version",
    ".BTF.ext",
    ".jumptables",
    "x",
)
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


def many_programs(count: int, functions: int) -> ObjectFile:
    """Programs that all begin the same chain of functions."""
    chain = code(".text", *[CALL_SYMBOL + EXIT] * functions)
    entries = code("xdp", *[CALL_SYMBOL + EXIT] * count)
    called = [function(f"called{number}", chain, 16 * number, 16) for number in range(functions)]
    for number in range(functions):
        relocate(chain, 16 * number, CALL, called[(number + 1) % functions])
    for number in range(count):
        relocate(entries, 16 * number, CALL, called[0])
    return obj(
        entries, chain, *(function(f"p{number}", entries, 16 * number, 16) for number in range(count)), *called
    )


def test_programs_may_not_be_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfas.loader.image.program_specs._MOST_FUNCTIONS", 1000)
    assert len(build_image(many_programs(40, 24)).programs) == 40
    with pytest.raises(BpfasError, match="more than 16000000 instructions or 1000 functions in all"):
        build_image(many_programs(41, 24))


RICH = """
extern void bpf_rcu_read_lock(void) __ksym;
extern int CONFIG_HZ __kconfig;
struct kernel_struct { int member; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, int); __type(value, long); }
    counts SEC(".maps");
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, int); };
struct inner one SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 4); __uint(key_size, 4);
    __array(values, struct inner); } outer SEC(".maps") = {.values = {[2] = &one}};
int data = 3, zero;
static int own;
int sizes[2] SEC(".data.sizes");
struct { __uint(type, 33); __uint(max_entries, 4); __uint(map_flags, BPF_F_MMAPABLE); } arena SEC(".maps");
__attribute__((address_space(1))) int shared = 1;
SEC("struct_ops") int operation(void *ctx) { return shared; }
struct operations { int flags; int (*call)(void *); };
SEC("?.struct_ops") struct operations instance = {.flags = 1, .call = operation};
__attribute__((noinline)) int helper(int x) { own += x; return own + data; }
SEC("tc") __attribute__((btf_decl_tag("exception_callback:helper"))) int prog(struct __sk_buff *ctx)
{
    struct kernel_struct *pointer = (void *)ctx;
    int key = CONFIG_HZ;
    bpf_rcu_read_lock();
    return helper(ctx->len) + pointer->member + !bpf_map_lookup_elem(&counts, &key) + zero;
}
"""


@pytest.mark.peer
def test_types_of_a_compiler_damaged_give_an_image_or_errors(compile_c: Callable[..., str]) -> None:
    with open(compile_c(RICH, "-g"), "rb") as file:
        contents = file.read()
    whole = read_object(contents, "app.o")
    assert build_image(whole).kernel_btf is not None

    @given(st.sampled_from([".BTF", ".BTF.ext", ".maps", "?.struct_ops"]), st.data())
    def check(name: str, draw: st.DataObject) -> None:
        source = read_object(contents, "app.o")
        section = source.section(name)
        assert section is not None
        damaged = bytearray(section.data)
        for _ in range(draw.draw(st.integers(1, 3))):
            at = draw.draw(st.integers(0, len(damaged) // 4 - 1)) * 4
            word = draw.draw(st.sampled_from([0, 1, 2, 8, 0xFFFF, 1 << 31, (1 << 32) - 1]) | st.integers(0, 400))
            damaged[at : at + 4] = word.to_bytes(4, "little")
        section.data = bytes(damaged)
        with contextlib.suppress(BpfasError):
            image = build_image(source)
            for variable in image.data:
                with contextlib.suppress(EncodingError):
                    image.data[variable] = image.data[variable]
            image.set_map(".data.sizes", value_size=64)

    check()
