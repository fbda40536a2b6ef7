"""Instances of structs of operations and arenas, as objects have them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.reader import read_object
from bpfas.loader.image.mapdefs import MapTable, describe_maps
from bpfas.loader.image.object_btf import read_object_types
from bpfas.loader.kinds import MapFlag, MapType
from tests.btf.builders import Types
from tests.loader.builders import EXIT, code, data, function, image_errors, relocate, variable

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS = """
struct ops___mine { char name[8]; int (*first)(void *); int (*const second)(void *); int flags; void *data; };
typedef struct ops___mine ops;
SEC("struct_ops/first") int one(void *ctx) { return 1; }
SEC("struct_ops.s") int two(void *ctx) { return 2; }
SEC("xdp") int packet(void *ctx) { return 1; }
int helper(void *ctx) { return 1; }
int number = 1;
"""
ARENA = """struct {
    __uint(type, 33);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 4);
} %s SEC(".maps");
"""


@pytest.fixture
def read(compile_c: Callable[..., str]) -> Callable[[str], MapTable]:
    """A function that compiles C and gives the object's maps."""

    def read_source(source: str) -> MapTable:
        path = compile_c(source, "-g", "-mcpu=v3")
        file = read_object(Path(path).read_bytes(), path)
        diagnostics = Diagnostics()
        types = read_object_types(file, diagnostics)
        table = describe_maps(file, "app", diagnostics, types=types.btf if types else None)
        diagnostics.raise_if_errors()
        return table

    return read_source


@pytest.fixture
def errors(read: Callable[[str], MapTable]) -> Callable[[str], str]:
    def errors_of(source: str) -> str:
        with pytest.raises(BpfasError) as caught:
            read(source)
        return str(caught.value)

    return errors_of


@pytest.mark.peer
class TestInstances:
    def test_an_instance_is_a_map(self, read: Callable[[str], MapTable]) -> None:
        table = read(
            OPERATIONS + 'SEC(".struct_ops") struct ops___mine mine = {.name = "me", .first = one, .flags = 3};'
        )
        spec = table.by_name["mine"]
        assert (spec.map_type, spec.key_size, spec.value_size, spec.max_entries) == (MapType.STRUCT_OPS, 4, 40, 1)
        assert (int(spec.map_flags), spec.autocreate, spec.kernel_name) == (0, True, "mine")
        assert spec.contents == b"me".ljust(8, b"\0") + bytes(16) + b"\3".ljust(16, b"\0")
        operations = spec.struct_ops
        assert operations
        assert (operations.type_name, operations.is_link) == ("ops___mine", False)
        assert operations.programs == {"first": "one"}
        assert [(each.name, each.size) for each in spec.variables] == [("mine", 40)]

    def test_several_in_one_section(self, read: Callable[[str], MapTable]) -> None:
        source = 'SEC(".struct_ops.link") ops a = {.first = one}; SEC(".struct_ops.link") ops b = {.second = two};'
        table = read(OPERATIONS + source)
        found = {name: spec.struct_ops for name, spec in table.by_name.items() if spec.struct_ops}
        assert {name: each.programs for name, each in found.items()} == {
            "a": {"first": "one"},
            "b": {"second": "two"},
        }
        assert all(each.is_link for each in found.values())
        assert table.by_name["b"].map_flags == MapFlag.LINK

    @pytest.mark.parametrize(("section", "is_link"), [("?.struct_ops", False), ("?.struct_ops.link", True)])
    def test_all_of_a_section_with_a_question_mark_wait(
        self, read: Callable[[str], MapTable], section: str, is_link: bool
    ) -> None:
        table = read(OPERATIONS + f'SEC("{section}") ops a = {{.first = one}}; SEC("{section}") ops b = {{}};')
        found = [table.by_name[name] for name in ("a", "b")]
        assert [spec.autocreate for spec in found] == [False, False]
        assert [bool(spec.map_flags & MapFlag.LINK) for spec in found] == [is_link, is_link]

    def test_they_come_behind_all_other_maps(self, read: Callable[[str], MapTable]) -> None:
        table = read(OPERATIONS + 'SEC(".struct_ops") ops a = {};' + ARENA % "arena")
        assert list(table.by_name) == ["arena", ".data", "a"]

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("ops a = {.first = helper};", "'a': member first is 'helper', which is no program"),
            ("ops a = {.first = packet};", "'a': member first is program 'packet' of section 'xdp'"),
            (
                "ops a = {.data = &number};",
                "'a': member data is `void *`, which cannot be the address of 'number'",
            ),
            ("ops a = {.first = (void *)&number};", "'a': member first is 'number', which is no program"),
            ("int a = 1;", "'a' is `int`, which is no struct of operations"),
            ("struct { int x; } a = {1};", "which is no struct of operations"),
            ("struct { int x; int (*f)(void *); } a = {.f = one};", "which is no struct of operations"),
            ("ops a[2] = {{.flags = 1}};", "which is no struct of operations"),
        ],
    )
    def test_what_is_wrong_is_told(self, errors: Callable[[str], str], source: str, message: str) -> None:
        found = errors(f'{OPERATIONS}\n#pragma clang section data=".struct_ops"\n{source}')
        assert message in found
        assert found.count("error: ") == 1


class TestHostileInstances:
    """What no compiler makes."""

    def errors(self, *, offset: int, r_type: int = 2, size: int = 16) -> str:
        types = Types()
        pointer = types.pointer(types.prototype(0, []))
        struct = types.struct("ops", 16, [("number", types.integer(), 0), ("call", pointer, 64)])
        types.datasec(".struct_ops", [(types.var("mine", struct), 0, size)], 32)
        section = data(".struct_ops", bytes(32))
        program = code("struct_ops/call", EXIT)
        symbol = function("prog", program)
        relocate(section, offset, r_type, symbol)
        return image_errors(
            section, program, symbol, variable("mine", section, 0, size), data(".BTF", types.data())
        )

    @pytest.mark.parametrize(
        ("offset", "r_type", "message"),
        [
            (4, 2, "'mine': R_BPF_64_ABS64 against 'prog' is not at a member of ops"),
            (8, 3, "'mine': R_BPF_64_ABS32 against 'prog' is not at a member of ops"),
            (0, 2, "'mine': member number is `int`, which cannot be the address of 'prog' in the kernel"),
            (20, 2, "no instance holds the address of 'prog'"),
        ],
    )
    def test_addresses_in_odd_places(self, offset: int, r_type: int, message: str) -> None:
        assert message in self.errors(offset=offset, r_type=r_type)

    def test_a_variable_smaller_than_its_type(self) -> None:
        assert "'mine' has 12 bytes, its type `struct ops" in self.errors(offset=8, size=12)

    def test_no_types(self) -> None:
        message = "section '.struct_ops' holds structs of operations, but the object has no section .BTF"
        assert message in image_errors(data(".struct_ops", bytes(8)))

    def test_no_datasec(self) -> None:
        types = Types()
        types.integer()
        found = image_errors(data("?.struct_ops", bytes(8)), data(".BTF", types.data()))
        assert "the object has no DATASEC '?.struct_ops' in its BTF" in found


@pytest.mark.peer
class TestArenas:
    GLOBALS = """#define __arena __attribute__((address_space(1)))
    int __arena counter = 5; static int __arena own = 6; int __arena zero;
    SEC("syscall") int prog(void *ctx) { own++; return counter + own + zero; }
    """

    def test_arena_data_lies_in_the_arena(self, read: Callable[[str], MapTable]) -> None:
        table = read(self.GLOBALS + ARENA % "arena")
        spec = table.by_name["arena"]
        assert table.arena == "arena"
        assert list(table.by_name) == ["arena"]
        assert {section.name: each for section, each in table.data.items()} == {".addr_space.1": spec}
        assert spec.contents
        values = {
            each.name: int.from_bytes(spec.contents[each.offset : each.offset + 4], "little")
            for each in spec.variables
        }
        assert values == {"counter": 5, "own": 6, "zero": 0}
        assert [each.is_static for each in spec.variables if each.name == "own"] == [True]

    def test_an_arena_without_data(self, read: Callable[[str], MapTable]) -> None:
        table = read(ARENA % "arena")
        assert (table.arena, table.by_name["arena"].contents) == ("arena", None)

    def test_data_without_an_arena(self, errors: Callable[[str], str]) -> None:
        found = errors(self.GLOBALS)
        assert "section '.addr_space.1' holds data of an arena, but no map is an arena" in found
        assert "__uint(type, BPF_MAP_TYPE_ARENA)" in found

    def test_two_arenas(self, errors: Callable[[str], str]) -> None:
        assert "map 'two' is a second arena, 'one' the first" in errors(ARENA % "one" + ARENA % "two")
