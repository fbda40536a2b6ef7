"""Maps that variables of `.maps` define by their types, from C."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.btf.declaration import declaration
from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.reader import read_object
from bpfas.loader.image.build import build_image
from bpfas.loader.image.mapdefs import describe_maps
from bpfas.loader.image.object_btf import read_object_types
from bpfas.loader.kinds import MapFlag, MapType
from bpfas.loader.spec import Pinning, Slot
from tests.btf.builders import Types
from tests.loader.builders import LOAD, data, image_errors, relocate, variable
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader.spec import Image, MapSpec

HASH = """struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, int);
    __type(value, struct value);
} counts SEC(".maps");
"""
VALUE = "struct value { int a; long long b; };\n"
INNER = """struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 3);
    __type(key, int);
    __type(value, long long);
} %s SEC(".maps");
"""
OUTER = """struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 8);
    __uint(key_size, 4);
    __array(values, struct inner);
} outer SEC(".maps") = {.values = {%s}};
"""
PROGRAMS = """SEC("xdp") int first(void *ctx) { return 1; }
SEC("xdp") int second(void *ctx) { return 2; }
int helper(void *ctx) { return 3; }
"""
JUMPS = """struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 4);
    __uint(key_size, 4);
    __array(values, int (void *));
} jumps SEC(".maps") = {.values = {%s}};
"""
ULONG = "#define __ulong(name, val) enum { ___bpf_concat(__unique_value, __LINE__) = val } name\n"


def defined(*members: str, name: str = "m") -> str:
    """A variable of .maps whose definition has these members."""
    return f'struct {{ {" ".join(f"{member};" for member in members)} }} {name} SEC(".maps");\n'


ARRAY = ("__uint(type, BPF_MAP_TYPE_ARRAY)", "__uint(max_entries, 1)", "__type(key, int)")


@pytest.fixture
def build(compile_c: Callable[..., str]) -> Callable[[str], Image]:
    """A function that compiles C and gives the object's image."""

    def build_source(source: str) -> Image:
        path = compile_c(source, "-g")
        return build_image(read_object(Path(path).read_bytes(), path))

    return build_source


@pytest.fixture
def errors(build: Callable[[str], Image]) -> Callable[[str], str]:
    """A function that compiles C and gives what the making of its image reports."""

    def errors_of(source: str) -> str:
        with pytest.raises(BpfasError) as caught:
            build(source)
        return str(caught.value)

    return errors_of


@pytest.mark.peer
class TestAttributes:
    def test_type_sizes_and_entries(self, build: Callable[[str], Image]) -> None:
        spec = build(VALUE + HASH).maps["counts"]
        assert (spec.map_type, spec.key_size, spec.value_size, spec.max_entries) == (MapType.HASH, 4, 16, 16)
        assert (spec.kernel_name, spec.section, spec.contents, spec.slots) == ("counts", "", None, ())

    def test_the_types_of_keys_and_values(self, compile_c: Callable[..., str]) -> None:
        path = compile_c(VALUE + HASH, "-g")
        file = read_object(Path(path).read_bytes(), path)
        diagnostics = Diagnostics()
        types = read_object_types(file, diagnostics)
        assert types
        btf = types.btf
        spec = describe_maps(file, "app", diagnostics, types=btf).by_name["counts"]
        assert [declaration(btf, each) for each in (spec.key_type, spec.value_type)] == ["int", "struct value"]

    def test_sizes_without_types(self, build: Callable[[str], Image]) -> None:
        members = ("__uint(type, BPF_MAP_TYPE_HASH)", "__uint(key_size, 12)", "__uint(value_size, 20)")
        spec = build(defined(*members, "__uint(max_entries, 1)")).maps["m"]
        assert (spec.key_size, spec.value_size, spec.key_type, spec.value_type) == (12, 20, 0, 0)

    def test_a_size_may_be_told_twice(self, build: Callable[[str], Image]) -> None:
        spec = build(defined(*ARRAY, "__uint(value_size, 8)", "__type(value, long long)")).maps["m"]
        assert spec.value_size == 8

    def test_a_typedef_of_a_definition(self, build: Callable[[str], Image]) -> None:
        source = defined(*ARRAY, "__type(value, int)").replace("struct {", "typedef struct {")
        source = source.replace("m SEC", "definition; definition m SEC")
        assert build(source).maps["m"].map_type == MapType.ARRAY

    def test_flags_node_and_pinning(self, build: Callable[[str], Image]) -> None:
        members = ("__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE)", "__uint(numa_node, 3)")
        spec = build(defined(*ARRAY, "__type(value, int)", *members, "__uint(pinning, LIBBPF_PIN_BY_NAME)")).maps[
            "m"
        ]
        assert (spec.map_flags, spec.numa_node) == (MapFlag.NO_PREALLOC | MapFlag.NUMA_NODE, 3)
        assert (spec.pinning, spec.pin_path) == (Pinning.BY_NAME, None)

    def test_pinning_none(self, build: Callable[[str], Image]) -> None:
        spec = build(defined(*ARRAY, "__type(value, int)", "__uint(pinning, LIBBPF_PIN_NONE)")).maps["m"]
        assert spec.pinning is Pinning.NONE

    @pytest.mark.parametrize(
        ("member", "expected"),
        [
            ("__uint(map_extra, 5)", 5),
            ("__ulong(map_extra, 5)", 5),
            ("__ulong(map_extra, 0x80000000)", 0x8000_0000),
            ("__ulong(map_extra, 1ULL << 44)", 1 << 44),
            ("__ulong(map_extra, 0xfedcba9876543210ULL)", 0xFEDC_BA98_7654_3210),
            ("__ulong(map_extra, -2)", (1 << 64) - 2),
            ("__ulong(map_extra, -2LL)", (1 << 64) - 2),
        ],
    )
    def test_map_extra(self, build: Callable[[str], Image], member: str, expected: int) -> None:
        assert build(ULONG + defined(*ARRAY, "__type(value, int)", member)).maps["m"].map_extra == expected

    def test_maps_come_in_the_order_of_the_section(self, build: Callable[[str], Image]) -> None:
        source = "".join(defined(*ARRAY, "__type(value, int)", name=name) for name in ("c", "a", "b"))
        assert list(build(source).maps) == ["c", "a", "b"]

    def test_long_names_are_cut_for_the_kernel(self, build: Callable[[str], Image]) -> None:
        image = build(defined(*ARRAY, "__type(value, int)", name="a_very_long_name_of_a_map"))
        assert image.maps["a_very_long_name_of_a_map"].kernel_name == "a_very_long_nam"

    def test_a_type_that_is_not_in_the_table_stays_a_number(self, build: Callable[[str], Image]) -> None:
        spec = build(defined("__uint(type, 999)", "__uint(max_entries, 1)")).maps["m"]
        assert spec.map_type == 999

    def test_a_hidden_map_is_a_map(self, build: Callable[[str], Image]) -> None:
        source = defined(*ARRAY, "__type(value, int)").replace("m SEC", "__hidden m SEC")
        assert list(build(source).maps) == ["m"]

    def test_programs_refer_to_them(self, build: Callable[[str], Image]) -> None:
        program = """SEC("xdp") int prog(void *ctx) {
            int key = 0;
            return !!bpf_map_lookup_elem(&counts, &key) + !!bpf_map_lookup_elem(&m, &key);
        }"""
        image = build(VALUE + defined(*ARRAY, "__type(value, int)") + HASH + program)
        names = [reference.map_name for reference in image.programs["prog"].references]
        assert sorted(names) == ["counts", "m"]


@pytest.mark.peer
class TestElements:
    def test_an_outer_map_has_an_inner_definition(self, build: Callable[[str], Image]) -> None:
        spec = build(INNER % "one" + OUTER % "").maps["outer"]
        assert (spec.map_type, spec.key_size, spec.value_size, spec.slots) == (MapType.ARRAY_OF_MAPS, 4, 4, ())
        inner = spec.inner
        assert inner
        assert (inner.name, inner.kernel_name) == ("outer.inner", "outer.inner")
        assert (inner.map_type, inner.key_size, inner.value_size, inner.max_entries) == (MapType.ARRAY, 4, 8, 3)
        assert (bool(inner.key_type), bool(inner.value_type)) == (True, True)

    def test_its_slots_are_maps_by_name(self, build: Callable[[str], Image]) -> None:
        other = INNER.replace("struct inner", "struct inner2") % "two"
        image = build(INNER % "one" + other + OUTER % "[5] = (void *)&two, [2] = &one")
        assert image.maps["outer"].slots == (Slot(2, "one"), Slot(5, "two"))

    def test_slots_may_come_before_the_maps_they_name(self, build: Callable[[str], Image]) -> None:
        first, last = (INNER % "one").split("} one")
        source = f"{first}}}; extern struct inner one;\n{OUTER % '[0] = &one'}struct inner one{last}"
        image = build(source)
        assert image.maps["outer"].slots == (Slot(0, "one"),)

    def test_hash_of_maps_numbers_its_keys(self, build: Callable[[str], Image]) -> None:
        outer = OUTER.replace("ARRAY_OF_MAPS", "HASH_OF_MAPS") % "[7] = &one"
        assert build(INNER % "one" + outer).maps["outer"].slots == (Slot(7, "one"),)

    def test_a_program_array_names_programs(self, build: Callable[[str], Image]) -> None:
        image = build(PROGRAMS.replace("helper", "unused") + JUMPS % "[3] = first, [1] = (void *)&second")
        spec = image.maps["jumps"]
        assert spec.slots == (Slot(1, "second"), Slot(3, "first"))
        assert (spec.value_size, spec.inner) == (4, None)

    def test_a_program_array_may_have_no_elements(self, build: Callable[[str], Image]) -> None:
        assert build(PROGRAMS + JUMPS % "").maps["jumps"].slots == ()

    def test_a_subprogram_is_no_element(self, errors: Callable[[str], str]) -> None:
        found = errors(PROGRAMS + JUMPS % "[1] = helper")
        assert "app.o:(.maps+0x20): error: map 'jumps': element 1, 'helper', is no program" in found

    def test_a_variable_is_no_element(self, errors: Callable[[str], str]) -> None:
        found = errors("int here = 1;\n" + INNER % "one" + OUTER % "[1] = (void *)&here")
        assert "map 'outer': element 1, 'here', is no map of section '.maps'" in found

    def test_hash_of_maps_with_other_keys_has_no_numbers(self, errors: Callable[[str], str]) -> None:
        outer = OUTER.replace("ARRAY_OF_MAPS", "HASH_OF_MAPS").replace("key_size, 4", "key_size, 8") % "[1] = &one"
        assert "map 'outer': element 1, 'one', has a number for its key, but keys have 8 bytes" in errors(
            INNER % "one" + outer
        )


@pytest.mark.peer
@pytest.mark.parametrize(
    ("members", "message"),
    [
        (("__uint(max_entries, 1)",), "map 'm': the type of the map is missing"),
        (("__uint(type, 0)",), "map 'm': the type of the map is missing"),
        (("int type",), "map 'm': attribute `int type` is no number: __uint(type, N)"),
        (
            (*ARRAY, "int *max_entry"),
            "its attribute `int * max_entry` is unknown\n>>> did you mean max_entries?",
        ),
        (
            (*ARRAY, "int (*strange)[1]"),
            "map 'm': its attribute `int (*)[1] strange` is unknown\n>>> attributes are",
        ),
        ((*ARRAY, "int value"), "map 'm': attribute `int value` is no type: __type(value, TYPE)"),
        ((*ARRAY, "void *value"), "map 'm': attribute value is `void`, which has no size"),
        ((*ARRAY, "struct unknown *value"), "map 'm': attribute value is `struct unknown`, which has no size"),
        ((*ARRAY, "int (*value)(void)"), "which has no size"),
        ((*ARRAY, "__uint(key_size, 8)"), "map 'm': attribute key_size is 4 and 8"),
        (("__uint(key_size, 8)", *ARRAY), "map 'm': attribute key_size is 8 and 4, that of `int`"),
        ((*ARRAY, "__uint(pinning, 2)"), "map 'm': attribute pinning is 2; there are 0 (none) and 1 (by name)"),
        ((*ARRAY, "enum { one, two } map_extra"), "map 'm': attribute map_extra is an enumeration of 2 values"),
        ((*ARRAY, "enum { one } max_entries_"), "its attribute `enum { one = 0 } max_entries_` is unknown"),
        ((*ARRAY, "__array(values, int)"), "map 'm': attribute values is for maps that hold maps or programs"),
        (
            ("__uint(type, BPF_MAP_TYPE_PROG_ARRAY)", "__uint(value_size, 8)", "__array(values, int (void *))"),
            "map 'm': its values are descriptors of 4 bytes, but value_size is 8",
        ),
        (
            ("__uint(type, BPF_MAP_TYPE_PROG_ARRAY)", "int (*values[2])(void *)"),
            "is no array without a length: __array(values, TYPE)",
        ),
        (
            ("__uint(type, BPF_MAP_TYPE_PROG_ARRAY)", "__array(values, int)"),
            "map 'm': its values are `int *`, not pointers to functions",
        ),
        (
            ("__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS)", "__array(values, int (void *))"),
            "not pointers to the struct of a map's definition",
        ),
        (
            ("__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS)", "__array(values, struct { __uint(max_entries, 1); })"),
            "map 'm.inner': the type of the map is missing",
        ),
        (
            (
                "__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS)",
                "__array(values, struct { __uint(type, 2); __uint(pinning, 1); })",
            ),
            "map 'm.inner': an inner map has `pinning`",
        ),
        (
            (
                "__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS)",
                "__array(values, struct { __uint(type, 12); __array(values, struct { __uint(type, 2); }); })",
            ),
            "map 'm.inner': an inner map has `values`",
        ),
    ],
)
def test_wrong_definitions_are_told(errors: Callable[[str], str], members: tuple[str, ...], message: str) -> None:
    assert message in errors(defined(*members))


@pytest.mark.peer
def test_all_that_is_wrong_is_told_at_once(errors: Callable[[str], str]) -> None:
    found = errors(defined("int type", "int max_entries") + defined(*ARRAY, "int strange", name="n"))
    assert [text in found for text in ("`int type`", "`int max_entries`", "map 'n'", "type of the map is missing")]
    assert found.count("error: ") == 4


@pytest.mark.peer
def test_what_refers_to_a_wrong_definition_is_not_told(errors: Callable[[str], str]) -> None:
    use = 'SEC("xdp") int prog(void *ctx) { int key = 0; return !!bpf_map_lookup_elem(&m, &key); }'
    assert errors(defined("int type") + use).count("error: ") == 2


@pytest.mark.peer
def test_a_static_map_is_an_error(errors: Callable[[str], str]) -> None:
    source = defined(*ARRAY, "__type(value, int)").replace("struct", "static struct", 1)
    use = 'SEC("xdp") int prog(void *ctx) { int key = 0; return !!bpf_map_lookup_elem(&m, &key); }'
    assert "map 'm' is static\n>>> programs and loaders find maps by name" in errors(source + use)


@pytest.mark.peer
def test_a_map_that_is_only_declared_has_to_be_another_objects(compile_c: Callable[..., str]) -> None:
    using = """SEC("xdp") int prog(void *ctx) { int key = 0; return !bpf_map_lookup_elem(&m, &key); }"""
    definition = defined(*ARRAY, "__type(value, int)")
    objects = []
    for name, source in (("main", f"extern {definition}{using}"), ("library", definition)):
        path = Path(compile_c(source, "-g", name=name))
        objects.append(read_object(path.read_bytes(), path.name))
    with pytest.raises(BpfasError, match="undefined symbol: m"):
        build_image(objects[0])
    assert list(build_image(objects[0], [objects[1]]).maps) == ["library:m"]


def test_a_variable_that_is_no_definition_is_an_error(errors: Callable[[str], str]) -> None:
    assert "map 'm': it is `int`, no definition of a map" in errors('int m SEC(".maps") = 1;')


@pytest.mark.peer
def test_relaxed_definitions_may_have_other_members(compile_c: Callable[..., str]) -> None:
    path = compile_c(defined(*ARRAY, "__type(value, int)", "int (*strange)[1]", "int other"), "-g")
    file = read_object(Path(path).read_bytes(), path)
    assert build_image(file, relaxed_maps=True).maps["m"].value_size == 4
    with pytest.raises(BpfasError, match="strange"):
        build_image(file)


@pytest.mark.peer
def test_an_object_without_btf_is_an_error(compile_c: Callable[..., str]) -> None:
    use = 'SEC("xdp") int prog(void *ctx) { int key = 0; return !!bpf_map_lookup_elem(&counts, &key); }'
    path = compile_c(VALUE + HASH + use)
    with pytest.raises(BpfasError) as caught:
        build_image(read_object(Path(path).read_bytes(), path))
    assert "but the object has no section .BTF\n>>> compile with clang -g" in str(caught.value)
    assert str(caught.value).count("error: ") == 1


class TestHostileDefinitions:
    """What no compiler makes: BTF put together by hand."""

    def errors(self, types: Types, size: int = 32) -> str:
        maps = data(".maps", bytes(size))
        return image_errors(maps, variable("m", maps, 0, size), data(".BTF", types.data()))

    def definition(self, types: Types, *, size: int = 8) -> int:
        integer = types.integer()
        number = types.pointer(types.array(integer, integer, 2))
        return types.struct("", size, [("type", number, 0)])

    def test_a_variable_beyond_the_section(self) -> None:
        types = Types()
        types.datasec(".maps", [(types.var("m", self.definition(types)), 0, 100)], 100)
        assert "variable 'm' reaches to 0x64, but the section has 0x20 bytes" in self.errors(types)

    def test_a_definition_larger_than_its_variable(self) -> None:
        types = Types()
        types.datasec(".maps", [(types.var("m", self.definition(types, size=64)), 0, 8)], 32)
        assert "has 64 bytes, the variable 8" in self.errors(types)

    def test_a_map_without_a_symbol(self) -> None:
        types = Types()
        types.datasec(".maps", [(types.var("other", self.definition(types)), 0, 8)])
        assert "no symbol says where in section '.maps' the variable 'other' lies" in self.errors(types)

    def test_no_datasec(self) -> None:
        types = Types()
        types.var("m", self.definition(types))
        assert "but the object has no DATASEC '.maps' in its BTF" in self.errors(types)

    def test_btf_at_fault(self) -> None:
        maps = data(".maps", bytes(8))
        assert "BTF begins with 0xeb9f" in image_errors(maps, data(".BTF", bytes(30)))

    def test_an_attribute_given_twice(self) -> None:
        types = Types()
        integer = types.integer()
        numbers = [types.pointer(types.array(integer, integer, count)) for count in (2, 1)]
        struct = types.struct("", 16, [("type", numbers[0], 0), ("type", numbers[1], 64)])
        types.datasec(".maps", [(types.var("m", struct), 0, 16)], 32)
        assert "map 'm': attribute type is given twice" in self.errors(types)

    def test_values_that_are_not_last(self) -> None:
        types = Types()
        integer = types.integer()
        kind = types.pointer(types.array(integer, integer, 3))
        values = types.array(types.pointer(types.prototype(0, [])), integer, 0)
        struct = types.struct("", 16, [("type", kind, 0), ("values", values, 64), ("max_entries", kind, 64)])
        types.datasec(".maps", [(types.var("m", struct), 0, 16)], 32)
        assert "map 'm': attribute values is not the last" in self.errors(types)

    @pytest.mark.parametrize(
        ("offset", "r_type", "message"),
        [
            (4, 2, "R_BPF_64_ABS64 against 'm' is not at an element of `values`"),
            (20, 2, "R_BPF_64_ABS64 against 'm' is not at an element of `values`"),
            (16, 3, "R_BPF_64_ABS32 against 'm' is not at an element of `values`"),
            (16, 2, "element 1, 'm', is no program"),
            (28, LOAD, "no map's definition holds the address of 'm'"),
        ],
    )
    def test_relocations_in_odd_places(self, offset: int, r_type: int, message: str) -> None:
        types = Types()
        integer = types.integer()
        kind = types.pointer(types.array(integer, integer, 3))
        values = types.array(types.pointer(types.prototype(0, [])), integer, 0)
        struct = types.struct("", 8, [("type", kind, 0), ("values", values, 64)])
        types.datasec(".maps", [(types.var("m", struct), 0, 24)], 32)
        maps = data(".maps", bytes(32))
        symbol = variable("m", maps, 0, 24)
        relocate(maps, offset, r_type, symbol)
        assert message in image_errors(maps, symbol, data(".BTF", types.data()))


@pytest.mark.peer
@pytest.mark.kernel
@pytest.mark.usefixtures("no_leaks")
class TestBesideLibbpf:
    """bpftool creates the maps of the same object, and the kernel is asked what it has made."""

    @pytest.fixture
    def pinned(self, compile_c: Callable[..., str]) -> Iterator[Callable[[str], tuple[str, dict[str, Any]]]]:
        directory = Path(f"/sys/fs/bpf/bpfas-test-{os.getpid()}")

        def load(source: str) -> tuple[str, dict[str, Any]]:
            path = compile_c(source, "-g")
            Peer.BPFTOOL.run("prog", "loadall", path, directory, "pinmaps", directory / "maps")
            shown = Peer.BPFTOOL.run("-f", "-j", "map", "show").text
            found = {
                Path(pin).name: each
                for each in json.loads(shown)
                for pin in each.get("pinned", ())
                if pin.startswith(f"{directory}/maps/")
            }
            return path, found

        yield load
        if directory.exists():
            for each in [*(directory / "maps").iterdir(), *directory.iterdir()]:
                if not each.is_dir():
                    each.unlink()
            (directory / "maps").rmdir()
            directory.rmdir()

    SOURCE = f"""{ULONG}{VALUE}{HASH}{INNER % "one"}{OUTER % "[2] = &one"}{PROGRAMS.replace("helper", "unused")}
        {JUMPS % "[1] = first"}
        {
        defined(
            "__uint(type, BPF_MAP_TYPE_BLOOM_FILTER)",
            "__uint(max_entries, 9)",
            "__type(value, int)",
            "__uint(map_extra, 3)",
            name="bloom",
        )
    }
        {
        defined(
            "__uint(type, BPF_MAP_TYPE_LPM_TRIE)",
            "__uint(max_entries, 9)",
            "__uint(key_size, 8)",
            "__uint(value_size, 24)",
            "__uint(map_flags, BPF_F_NO_PREALLOC)",
            name="trie",
        )
    }
        {defined("__uint(type, BPF_MAP_TYPE_QUEUE)", "__uint(max_entries, 9)", "__type(value, int)", name="queue")}
        {defined("__uint(type, BPF_MAP_TYPE_RINGBUF)", "__uint(max_entries, 8192)", name="events")}
        int global = 1; static volatile int hers = 2; const volatile int fixed = 3; int zero;
        int own SEC(".data.own") = 4;
        SEC("xdp") int prog(void *ctx) {{
            int key = 0;
            bpf_printk("hello %d", key);
            bpf_map_lookup_elem(&counts, &key);
            return global + hers + fixed + zero + own;
        }}"""

    def test_the_same_maps_are_described(self, pinned: Callable[[str], tuple[str, dict[str, Any]]]) -> None:
        path, theirs = pinned(self.SOURCE)
        ours = build_image(read_object(Path(path).read_bytes(), path)).maps
        fields = ("type", "name", "bytes_key", "bytes_value", "max_entries", "flags")
        assert {_libbpf_pin_name(spec): _described(spec) for spec in ours.values()} == {
            name: tuple(each[field] for field in fields) for name, each in theirs.items()
        }


def _libbpf_pin_name(spec: MapSpec) -> str:
    """What bpftool calls a map when it pins all: points are underscores."""
    name = spec.kernel_name if spec.section in (".data", ".rodata", ".bss") else spec.name
    return name.replace(".", "_")


def _described(spec: MapSpec) -> tuple[object, ...]:
    return (
        spec.map_type.name.lower() if isinstance(spec.map_type, MapType) else spec.map_type,
        spec.kernel_name,
        spec.key_size,
        spec.value_size,
        spec.max_entries,
        int(spec.map_flags),
    )
