"""The maps that hold global data, and the variables in them, from C and from objects made by hand."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.declaration import declaration
from bpfas.diag import Diagnostics
from bpfas.elf.constants import SymbolType, SymbolVisibility
from bpfas.elf.reader import read_object
from bpfas.loader.image.build import build_image
from bpfas.loader.image.mapdefs import describe_maps
from bpfas.loader.image.object_btf import read_object_types
from bpfas.loader.kinds import MapFlag
from bpfas.loader.spec import MapSpec, Variable
from bpfas.objfile import Symbol
from tests.btf.builders import Types
from tests.loader.builders import bss, data, image_errors, label, obj, variable
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.btf.btf import Btf

SOURCE = """
struct pair { short first, second; };
int exported = 1; static volatile int own = 2; __hidden int hidden = 3;
__attribute__((visibility("internal"))) int internal SEC(".data.internal") = 4;
static volatile int lonely SEC(".data.lonely") = 5;
const volatile struct pair fixed = {6, 7};
const volatile char text[] SEC(".rodata.str1.1") = "hello";
int zero; int apart SEC(".bss.x");
SEC("socket") int prog(void *ctx) {
    static volatile int counter;
    return exported + own + hidden + internal + lonely + fixed.first + text[0] + zero + apart + counter++;
}
"""


@pytest.fixture
def read(compile_c: Callable[..., str]) -> Callable[..., tuple[dict[str, MapSpec], Btf | None]]:
    """A function that compiles C and gives the object's maps and types."""

    def read_source(source: str, *flags: str) -> tuple[dict[str, MapSpec], Btf | None]:
        path = compile_c(source, *flags)
        file = read_object(Path(path).read_bytes(), path)
        diagnostics = Diagnostics()
        types = read_object_types(file, diagnostics)
        btf = types.btf if types else None
        table = describe_maps(file, "app", diagnostics, types=btf)
        diagnostics.raise_if_errors()
        return table.by_name, btf

    return read_source


def listed(spec: MapSpec) -> list[tuple[str, int, int, bool]]:
    return [(each.name, each.offset, each.size, each.is_static) for each in spec.variables]


@pytest.mark.peer
class TestFromC:
    def test_variables_lie_where_their_symbols_say(
        self, read: Callable[..., tuple[dict[str, MapSpec], Btf]]
    ) -> None:
        maps, types = read(SOURCE, "-g")
        spec = maps[".data"]
        assert {name: is_static for name, _, _, is_static in listed(spec)} == {
            "exported": False,
            "own": True,
            "hidden": True,
        }
        assert spec.contents
        values = {each.name: struct.unpack_from("<i", spec.contents, each.offset)[0] for each in spec.variables}
        assert values == {"exported": 1, "own": 2, "hidden": 3}
        assert {declaration(types, each.type_id) for each in spec.variables} == {"int", "volatile int"}

    def test_every_section_has_a_map(self, read: Callable[..., tuple[dict[str, MapSpec], Btf]]) -> None:
        maps, types = read(SOURCE, "-g")
        assert set(maps) == {
            *(".data", ".data.internal", ".data.lonely", ".rodata", ".rodata.str1.1", ".bss", ".bss.x"),
        }
        assert all(spec.section == name for name, spec in maps.items())
        assert all(types.name(spec.value_type) == name for name, spec in maps.items())
        assert all(spec.key_type == 0 for spec in maps.values())

    def test_only_data_that_others_can_see_is_mapped(
        self, read: Callable[..., tuple[dict[str, MapSpec], Btf]]
    ) -> None:
        maps, _ = read(SOURCE, "-g")
        assert {name for name, spec in maps.items() if spec.map_flags & MapFlag.MMAPABLE} == {
            *(".data", ".rodata", ".rodata.str1.1", ".bss", ".bss.x"),
        }
        assert {name for name, spec in maps.items() if spec.map_flags & MapFlag.RDONLY_PROG} == {
            *(".rodata", ".rodata.str1.1"),
        }
        assert {name for name, spec in maps.items() if spec.frozen} == {".rodata", ".rodata.str1.1"}

    def test_literals_have_a_map_without_variables(
        self, read: Callable[..., tuple[dict[str, MapSpec], Btf]]
    ) -> None:
        maps, _ = read('SEC("socket") int prog(void *ctx) { return bpf_trace_printk("hi %d", 6, 1); }', "-g")
        (spec,) = maps.values()
        assert (spec.name, spec.value_type, spec.variables, spec.contents) == (".rodata.str1.1", 0, (), b"hi %d\0")
        assert not spec.map_flags & MapFlag.MMAPABLE

    def test_without_btf_variables_are_the_symbols(
        self, read: Callable[..., tuple[dict[str, MapSpec], Btf | None]]
    ) -> None:
        maps, types = read(SOURCE)
        assert types is None
        spec = maps[".data"]
        assert sorted(name for name, *_ in listed(spec)) == ["exported", "hidden", "own"]
        assert {each.type_id for each in spec.variables} == {0}
        assert (spec.value_type, int(spec.map_flags)) == (0, 0)
        (fixed,) = maps[".rodata"].variables
        assert (fixed.name, fixed.size) == ("fixed", 4)

    def test_gcc_says_the_same(self, tmp_path: Path) -> None:
        source = "int a = 1; static volatile int b = 2; const volatile int c = 3; long long d; short e = 4;\n"
        path = tmp_path / "app.c"
        path.write_text(source)
        Peer.GCC.run("-gbtf", "-O2", "-c", path, "-o", tmp_path / "app.o")
        file = read_object((tmp_path / "app.o").read_bytes(), "app.o")
        diagnostics = Diagnostics()
        types = read_object_types(file, diagnostics)
        table = describe_maps(file, "app", diagnostics, types=types.btf if types else None)
        diagnostics.raise_if_errors()
        found = {
            each.name: (spec.section, each.offset, each.size)
            for spec in table.by_name.values()
            for each in spec.variables
        }
        expected = {
            symbol.name: (symbol.section.name, symbol.st_value, symbol.st_size)
            for symbol in file.symbols
            if symbol.st_type is SymbolType.OBJECT
        }
        assert found == expected


class TestByHand:
    def test_labels_end_where_the_next_one_begins(self) -> None:
        section = data(".data", bytes(20))
        image = build_image(obj(section, label("a", section), label("b", section, 8, is_local=True)))
        assert image.maps[".data"].variables == (Variable("a", 0, 8), Variable("b", 8, 12, is_static=True))

    def test_of_two_symbols_the_global_one_names_the_variable(self) -> None:
        section = data(".data", bytes(8))
        image = build_image(obj(section, label("here", section, is_local=True), variable("counter", section)))
        assert image.maps[".data"].variables == (Variable("counter", 0, 4),)

    def test_a_size_beyond_the_section_is_cut(self) -> None:
        section = bss(".bss", 8)
        image = build_image(obj(section, variable("far", section, 4, 400), label("end", section, 8)))
        assert image.maps[".bss"].variables == (Variable("far", 4, 4),)

    def test_symbols_that_btf_does_not_know_are_variables_too(self) -> None:
        section = data(".data", bytes(12))
        types = Types()
        integer = types.integer()
        types.datasec(".data", [(types.var("typed", integer), 0, 4)], 12)
        parts = (section, variable("typed", section), variable("other", section, 4, 8), data(".BTF", types.data()))
        assert build_image(obj(*parts)).maps[".data"].variables == (
            Variable("typed", 0, 4, integer),
            Variable("other", 4, 8),
        )

    def test_data_of_hidden_variables_is_not_mapped(self) -> None:
        section = data(".data", bytes(4))
        types = Types()
        types.datasec(".data", [(types.var("x", types.integer()), 0, 4)])
        symbol = Symbol(
            "x",
            section,
            st_size=4,
            st_bind=variable("x", section).st_bind,
            st_type=SymbolType.OBJECT,
            st_visibility=SymbolVisibility.HIDDEN,
        )
        spec = build_image(obj(section, symbol, data(".BTF", types.data()))).maps[".data"]
        assert (int(spec.map_flags), spec.variables[0].is_static) == (0, True)

    def test_functions_among_the_variables_are_left_out(self) -> None:
        section = data(".data", bytes(4))
        types = Types()
        entries = [(types.var("x", types.integer()), 0, 4), (types.func("f", types.prototype(0, []), 2), 0, 0)]
        types.datasec(".data", entries)
        spec = build_image(obj(section, variable("x", section), data(".BTF", types.data()))).maps[".data"]
        assert [each.name for each in spec.variables] == ["x"]

    def test_a_variable_beyond_its_section_is_an_error(self) -> None:
        section = data(".data", bytes(4))
        types = Types()
        types.datasec(".data", [(types.var("x", types.integer()), 2, 4)], 8)
        message = "app.o:(.data+0x2): error: variable 'x' reaches to 0x6, but the section has 0x4 bytes"
        assert message in image_errors(section, variable("x", section), data(".BTF", types.data()))

    def test_a_variable_without_a_place_is_an_error(self) -> None:
        section = data(".data", bytes(4))
        types = Types()
        types.datasec(".data", [(types.var("x", types.integer()), 0, 4)])
        message = "no symbol says where in section '.data' the variable 'x' lies"
        assert message in image_errors(section, data(".BTF", types.data()))
