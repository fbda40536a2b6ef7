"""Maps of an object: `maps` sections and data sections."""

from __future__ import annotations

import pytest

from bpfas.elf.constants import ByteOrder
from bpfas.loader.image.build import build_image
from bpfas.loader.image.data_maps import data_map_kernel_name
from bpfas.loader.kinds import MapFlag, MapType
from bpfas.loader.spec import MapSpec, Pinning, Slot
from tests.loader.builders import (
    EXIT,
    LDDW,
    LOAD,
    PASS,
    bss,
    code,
    data,
    function,
    image_errors,
    label,
    obj,
    relocate,
    variable,
    words,
)


def test_four_words_define_a_map() -> None:
    maps = data("maps", words(1, 4, 8, 16))
    image = build_image(obj(maps, variable("counts", maps)))
    assert image.maps == {"counts": MapSpec("counts", "counts", MapType.HASH, 4, 8, 16)}


def test_five_words_define_a_map_with_flags() -> None:
    maps = data("maps", words(1, 4, 8, 16, 1))
    image = build_image(obj(maps, label("counts", maps, is_local=True)))
    assert image.maps["counts"].map_flags == MapFlag.NO_PREALLOC


def test_the_length_is_found_from_the_symbols() -> None:
    maps = data("maps", words(*range(1, 5), *range(1, 5), 1, 1, 1, 1, *range(1, 5), 2, 2, 2, 2))
    image = build_image(obj(maps, *(variable(f"m{index}", maps, 16 * index) for index in range(5))))
    assert [image.maps[f"m{index}"].max_entries for index in range(5)] == [4, 4, 1, 4, 2]


def test_maps_come_in_the_order_of_the_section() -> None:
    maps = data("maps", words(1, 4, 4, 1) * 3)
    symbols = [variable(name, maps, offset) for name, offset in (("c", 32), ("a", 0), ("b", 16))]
    assert list(build_image(obj(maps, *symbols)).maps) == ["a", "b", "c"]


def test_of_two_symbols_the_global_one_names_the_map() -> None:
    maps = data("maps", words(1, 4, 4, 1))
    image = build_image(obj(maps, label("here", maps, is_local=True), variable("counts", maps)))
    assert list(image.maps) == ["counts"]


def test_a_label_at_the_end_is_no_map() -> None:
    maps = data("maps", words(1, 4, 4, 1))
    assert list(build_image(obj(maps, variable("m", maps), label("end", maps, 16))).maps) == ["m"]


def test_further_words_may_be_zero() -> None:
    maps = data("maps", words(1, 4, 8, 16, 0, 0, 0))
    assert build_image(obj(maps, variable("m", maps))).maps["m"].max_entries == 16


def test_a_type_that_is_not_in_the_table_stays_a_number() -> None:
    maps = data("maps", words(999, 4, 8, 16))
    assert build_image(obj(maps, variable("m", maps))).maps["m"].map_type == 999


def test_the_words_are_in_the_objects_byte_order() -> None:
    maps = data("maps", words(1, 4, 8, 16, order=ByteOrder.BIG))
    image = build_image(obj(maps, variable("m", maps), order=ByteOrder.BIG))
    assert (image.byte_order, image.maps["m"].value_size) == (ByteOrder.BIG, 8)


def test_further_words_that_are_not_zero_are_an_error() -> None:
    maps = data("maps", words(1, 4, 8, 16, 0, 0, 0, 0, 0, 2))
    errors = image_errors(maps, variable("m", maps))
    assert errors.startswith("app.o:(maps+0x24): error: map definition 'm' has 10 words")


class TestIproute2Definitions:
    """struct bpf_elf_map: the five words, then id, pinning, inner_id and inner_idx."""

    @pytest.mark.parametrize("more", [(), (0, 0)])
    def test_global_pins(self, more: tuple[int, ...]) -> None:
        maps = data("maps", words(1, 4, 8, 16, 1, 7, 2, *more))
        (spec,) = build_image(obj(maps, variable("m", maps))).maps.values()
        assert (spec.max_entries, spec.map_flags) == (16, 1)
        assert (spec.pin_path, spec.pinning) == ("/sys/fs/bpf/tc/globals/m", Pinning.NONE)

    def test_no_pins(self) -> None:
        maps = data("maps", words(1, 4, 8, 16, 1, 7, 0))
        assert build_image(obj(maps, variable("m", maps))).maps["m"].pin_path is None

    @pytest.mark.parametrize("pinning", [1, 3])
    def test_other_pins_are_an_error(self, pinning: int) -> None:
        maps = data("maps", words(1, 4, 8, 16, 1, 7, pinning))
        errors = image_errors(maps, variable("m", maps))
        assert (
            f"map definition 'm' has pinning {pinning}; there are 0 (none) and 2 (/sys/fs/bpf/tc/globals/m)"
            in errors
        )

    def test_inner_maps_are_found_by_id(self) -> None:
        outer = words(MapType.ARRAY_OF_MAPS, 4, 4, 8, 0, 0, 0, 42, 0)
        first, other = words(2, 4, 8, 3, 0, 42, 2, 0, 5), words(2, 4, 8, 3, 0, 42, 0, 0, 1)
        template = words(2, 4, 8, 3, 0, 42, 0, 0, 0xFFFFFFFF)
        unrelated = words(2, 4, 8, 3, 0, 41, 0, 0, 0)
        maps = data("maps", outer + first + other + template + unrelated)
        symbols = [variable(f"m{index}", maps, 36 * index) for index in range(5)]
        spec = build_image(obj(maps, *symbols)).maps["m0"]
        assert spec.slots == (Slot(1, "m2"), Slot(5, "m1"))
        assert spec.inner == MapSpec("m0.inner", "m0.inner", MapType.ARRAY, 4, 8, 3)

    def test_an_inner_map_that_is_missing(self) -> None:
        maps = data("maps", words(12, 4, 4, 8, 0, 0, 0, 42, 0) + words(2, 4, 8, 3, 0, 41, 0, 0, 0))
        errors = image_errors(maps, variable("m", maps), variable("n", maps, 36))
        assert "map definition 'm' holds maps like the one with id 42, which is missing\n>>> ids are 41" in errors

    def test_two_inner_maps_of_one_index(self) -> None:
        inner = words(2, 4, 8, 3, 0, 42, 0, 0, 3)
        maps = data("maps", words(12, 4, 4, 8, 0, 0, 0, 42, 0) + inner + inner)
        errors = image_errors(maps, *(variable(f"m{index}", maps, 36 * index) for index in range(3)))
        assert "map definitions 'm1' and 'm2' have the same id and inner_idx, 3" in errors

    def test_an_inner_id_of_a_map_that_holds_none(self) -> None:
        maps = data("maps", words(1, 4, 8, 16, 0, 0, 0, 42, 0))
        assert "map definition 'm' has inner_id 42, but holds no maps" in image_errors(maps, variable("m", maps))

    def test_sections_for_tail_calls(self) -> None:
        maps = data("maps", words(MapType.PROG_ARRAY, 4, 4, 8, 0, 0x2A, 0, 0, 0))
        sections = [code(name, PASS) for name in ("42/1", "0x2a/0x0", "41/3")]
        programs = [function(f"f{index}", section) for index, section in enumerate(sections)]
        image = build_image(obj(maps, variable("jumps", maps), *sections, *programs))
        assert image.maps["jumps"].slots == (Slot(0, "f1"), Slot(1, "f0"))


@pytest.mark.parametrize(
    ("count", "offsets", "message"),
    [
        (3, (0,), "app.o:(maps+0x0): error: map definition 'm0' has 12 bytes"),
        (8, (0, 12), "app.o:(maps+0x0): error: map definition 'm0' has 12 bytes"),
        (8, (4, 16), "app.o:(maps+0x0): error: the first 4 bytes of section 'maps' belong to no map"),
        (12, (0, 16, 36), "app.o:(maps+0x24): error: map definition 'm36' has 12 bytes"),
    ],
)
def test_definitions_of_other_lengths_are_an_error(count: int, offsets: tuple[int, ...], message: str) -> None:
    maps = data("maps", words(*[1] * count))
    errors = image_errors(maps, *(variable(f"m{offset}", maps, offset) for offset in offsets))
    assert message in errors


def test_what_refers_to_a_wrong_definition_is_not_told() -> None:
    maps = data("maps", words(1, 4, 8))
    program = code("xdp", LDDW, EXIT)
    symbol = variable("m", maps)
    relocate(program, 0, LOAD, symbol)
    assert image_errors(maps, symbol, program, function("prog", program)).count("error: ") == 1


def test_definitions_of_four_and_of_five_words_stand_side_by_side() -> None:
    maps = data("maps", words(1, 4, 8, 16, 1) + words(2, 4, 8, 5) + words(1, 4, 8, 3, 1))
    image = build_image(
        obj(maps, *(variable(f"m{offset}", maps, offset) for offset in (0, 20, 36))),
    )
    assert [(spec.map_type, spec.max_entries, spec.map_flags) for spec in image.maps.values()] == [
        *((1, 16, 1), (2, 5, 0), (1, 3, 1)),
    ]


def test_definitions_without_a_symbol_are_an_error() -> None:
    assert "no symbol names a map in it" in image_errors(data("maps", words(1, 4, 8, 16)))


def test_definitions_without_contents_are_an_error() -> None:
    maps = bss("maps", 16)
    assert "(NOBITS)" in image_errors(maps, variable("m", maps))


def test_two_maps_of_a_name_are_an_error() -> None:
    maps = data("maps", words(1, 4, 8, 16) * 2)
    errors = image_errors(maps, variable("m", maps), variable("m", maps, 16))
    assert "app.o:(maps+0x10): error: a second map is called 'm'" in errors


def test_data_sections_become_array_maps() -> None:
    image = build_image(obj(data(".data", b"abcdef"), data(".rodata", b"1234"), bss(".bss", 24)))
    assert list(image.maps.values()) == [
        MapSpec(".data", "app.data", MapType.ARRAY, 4, 6, 1, 0, b"abcdef", section=".data"),
        MapSpec(
            *(".rodata", "app.rodata", MapType.ARRAY, 4, 4, 1, MapFlag.RDONLY_PROG, b"1234"),
            frozen=True,
            section=".rodata",
        ),
        MapSpec(".bss", "app.bss", MapType.ARRAY, 4, 24, 1, section=".bss"),
    ]


def test_data_sections_of_any_name_become_maps() -> None:
    image = build_image(obj(data(".data.own", b"a"), data(".rodata.str1.1", b"b"), bss(".bss.x", 8)))
    assert list(image.maps) == [".data.own", ".rodata.str1.1", ".bss.x"]
    assert image.maps[".rodata.str1.1"].frozen


def test_empty_and_other_sections_become_no_maps() -> None:
    parts = (data(".data", b""), bss(".bss", 0), data(".database", b"x"), data(".data.own", b"x"))
    assert list(build_image(obj(*parts)).maps) == [".data.own"]


@pytest.mark.parametrize(
    ("section", "object_name", "expected"),
    [
        (".data", "app", "app.data"),
        (".rodata", "a_long_object", "a_long_o.rodata"),
        (".bss", "a_long_object", "a_long_o.bss"),
        (".data.very_long_name", "app", ".data.very_long"),
        (".data", "my-app", "my_app.data"),
    ],
)
def test_kernel_names_of_data_maps(section: str, object_name: str, expected: str) -> None:
    assert data_map_kernel_name(section, object_name) == expected


def test_kernel_names_are_cut_and_cleaned() -> None:
    maps = data("maps", words(1, 4, 4, 1))
    image = build_image(obj(maps, variable("a$very_long_name_of_a_map", maps)))
    (spec,) = image.maps.values()
    assert spec.kernel_name == "a_very_long_nam"


def test_addresses_in_data_are_a_warning() -> None:
    # Tables of texts that no program uses; libbpf leaves them alone, too.
    section = data(".data", bytes(24))
    for offset in (0, 8, 16):
        relocate(section, offset, 2, variable("x", section))
    image = build_image(obj(section))
    assert image.maps[".data"].contents == bytes(24)
    (warning,) = image.warnings
    assert warning.message == (
        "section '.data' holds the address of 'x' and 2 more addresses, which data in a map cannot hold"
    )


def test_an_address_in_a_definition_of_words_is_an_error() -> None:
    section = data("maps", words(1, 4, 4, 1))
    relocate(section, 0, 2, variable("x", section))
    message = "app.o:(maps+0x0): error: section 'maps' holds the address of 'x', which it cannot hold"
    assert message in image_errors(section, variable("m", section))


def test_a_value_too_large_for_a_map_is_an_error() -> None:
    assert "more than 4294967295" in image_errors(bss(".bss", 1 << 32))
