"""Changing an Image before it is loaded."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.codecs import EncodingError
from bpfas.btf.kinds import Kind
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.loader.image.build import build_image
from bpfas.loader.image.configure import ConfigurationError
from bpfas.loader.image.variables import UnknownNameError
from bpfas.loader.kinds import AttachType, MapFlag, MapType, ProgramFlag, ProgramType
from bpfas.loader.sections import section_kind
from bpfas.loader.spec import Image, MapSpec, Pinning, Slot
from tests.loader.builders import PASS, bss, code, data, function, label, obj, variable

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = """
struct limits { int low, high; char name[8]; };
enum mode { OFF, ON };
int threshold = 1; struct limits limits = {2, 3, "first"}; long long total; enum mode mode = ON;
const volatile unsigned char fixed = 7; static volatile int only_here = 8;
const volatile int sizes[2] SEC(".rodata.sizes") = {1, 2};
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, int); }
    counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __uint(key_size, 4);
    __array(values, int (void *)); } jumps SEC(".maps");
SEC("socket") int prog(void *ctx) {
    int key = only_here;
    bpf_map_lookup_elem(&counts, &key);
    return threshold + limits.low + total + fixed + mode + sizes[0];
}
SEC("fentry/do_nothing") int traced(void *ctx) { return 0; }
"""


@pytest.fixture
def image(compile_c: Callable[..., str]) -> Image:
    path = compile_c(SOURCE, "-g")
    return build_image(read_object(Path(path).read_bytes(), path))


@pytest.mark.peer
class TestVariables:
    def test_values_are_typed(self, image: Image) -> None:
        values = image.data
        assert (values["threshold"], values["total"], values["fixed"], values["only_here"]) == (1, 0, 7, 8)
        assert (values["limits"].low, values["limits"].high, values["limits"].name) == (2, 3, "first")
        assert values["mode"] == 1

    def test_values_are_set_where_the_variable_lies(self, image: Image) -> None:
        image.data["threshold"] = -5
        image.data["limits"] = {"low": 10, "name": "other"}
        image.data["total"] = 1 << 40
        image.data["mode"] = "OFF"
        image.data["fixed"] = 255
        assert image.data["threshold"] == -5
        assert image.data["limits"] == (10, 0, "other")
        assert (image.data["total"], image.data["mode"], image.data["fixed"]) == (1 << 40, 0, 255)
        spec = image.maps[".data"]
        (place,) = (each.offset for each in spec.variables if each.name == "threshold")
        assert spec.contents
        assert spec.contents[place : place + 4] == struct.pack("<i", -5)
        # Zeros until something is set.
        assert image.maps[".bss"].contents == struct.pack("<q", 1 << 40)
        assert image.maps[".rodata"].frozen

    def test_many_at_once(self, image: Image) -> None:
        image.data.update(threshold=3, total=4)
        assert (image.data["threshold"], image.data["total"]) == (3, 4)
        assert set(image.data) >= {"threshold", "limits", "total", "mode", "fixed", "only_here", "sizes"}
        assert len(image.data) == len(set(image.data))
        assert "threshold" in image.data
        assert "treshold" not in image.data

    def test_bytes_are_taken_for_any_type(self, image: Image) -> None:
        image.data["limits"] = struct.pack("<ii8s", 1, 2, b"x")
        assert image.data["limits"] == (1, 2, "x")

    def test_a_name_that_there_is_not(self, image: Image) -> None:
        with pytest.raises(
            UnknownNameError, match="there is no variable 'treshold'\n>>> did you mean 'threshold'"
        ) as e:
            image.data["treshold"] = 1
        assert isinstance(e.value, KeyError)
        with pytest.raises(KeyError):
            image.data[".bss:threshold"]

    def test_a_name_with_its_map(self, image: Image) -> None:
        image.data[".data:threshold"] = 9
        assert image.data["threshold"] == 9

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("threshold", 1 << 31, "variable threshold: "),
            ("threshold", "high", "variable threshold: "),
            ("limits", {"lower": 1}, "variable limits: "),
            ("limits", {"low": 1 << 40}, "variable limits: low"),
            ("total", b"1234", "variable total: "),
            ("mode", "MAYBE", "variable mode: "),
        ],
    )
    def test_a_value_that_is_none_of_its_type(self, image: Image, name: str, value: object, message: str) -> None:
        before = image.maps[".data"]
        with pytest.raises(EncodingError) as caught:
            image.data[name] = value
        assert message in str(caught.value)
        assert image.maps[".data"] == before

    def test_variables_stay_in_their_maps(self, image: Image) -> None:
        with pytest.raises(TypeError, match="cannot be taken out"):
            del image.data["threshold"]


@pytest.mark.peer
def test_options_of_the_kernel_have_no_value_yet(compile_c: Callable[..., str]) -> None:
    source = """
    extern int CONFIG_HZ __kconfig;
    int own = 3;
    SEC("socket") int prog(void *ctx) { return own + CONFIG_HZ; }
    """
    path = compile_c(source, "-g")
    image = build_image(read_object(Path(path).read_bytes(), path))
    assert dict(image.data) == {"own": 3}
    with pytest.raises(UnknownNameError, match="load with the text CONFIG_HZ=VALUE for `kconfig`"):
        image.data["CONFIG_HZ"] = 5


class TestVariablesWithoutTypes:
    def test_bytes_and_integers(self) -> None:
        section, zeros = data(".data", b"abcdefgh"), bss(".bss", 8)
        image = build_image(
            obj(section, zeros, label("first", section), label("rest", section, 4), label("z", zeros))
        )
        assert image.data["rest"] == b"efgh"
        image.data["rest"] = 0x01020304
        image.data["z"] = -2
        assert image.maps[".data"].contents == b"abcd\4\3\2\1"
        assert image.maps[".bss"].contents == b"\xfe" + b"\xff" * 7

    @pytest.mark.parametrize("value", [1 << 32, -(1 << 31) - 1, b"12345", "text", 1.5])
    def test_what_does_not_fit(self, value: object) -> None:
        section = data(".data", bytes(4))
        image = build_image(obj(section, variable("x", section)))
        with pytest.raises(EncodingError, match="variable x: "):
            image.data["x"] = value

    def test_the_shared_one_of_a_name_is_meant(self) -> None:
        first, second = data(".data", b"aaaa"), data(".data.own", b"bbbb")
        image = build_image(obj(first, second, label("x", first, is_local=True), variable("x", second)))
        assert image.data["x"] == b"bbbb"
        assert image.data[".data:x"] == b"aaaa"
        assert sorted(image.data) == [".data:x", "x"]

    def test_several_of_a_name(self) -> None:
        first, second = data(".data", b"aaaa"), data(".data.own", b"bbbb")
        image = build_image(obj(*(first, second), *(label("x", each, is_local=True) for each in (first, second))))
        with pytest.raises(UnknownNameError, match=r"say which: \.data:x or \.data\.own:x"):
            image.data["x"]
        assert sorted(image.data) == [".data.own:x", ".data:x"]


@pytest.mark.peer
class TestMaps:
    def test_sizes_and_flags(self, image: Image) -> None:
        image.set_map("counts", max_entries=1024, map_flags=MapFlag.NO_PREALLOC, numa_node=1, map_extra=1 << 40)
        spec = image.maps["counts"]
        assert (spec.max_entries, spec.map_flags, spec.numa_node, spec.map_extra) == (1024, 1, 1, 1 << 40)
        assert spec.key_type

    def test_types_by_name_or_number(self, image: Image) -> None:
        image.set_map("counts", map_type="lru_hash")
        assert image.maps["counts"].map_type == MapType.LRU_HASH
        image.set_map("counts", map_type=2)
        assert repr(image.maps["counts"].map_type) == repr(MapType.ARRAY)
        image.set_map("jumps", map_type=999)
        assert image.maps["jumps"].map_type == 999

    def test_pins(self, image: Image) -> None:
        image.set_map("counts", pinning=1, pin_path=Path("/sys/fs/bpf/x"), autocreate=False)
        spec = image.maps["counts"]
        assert (spec.pinning, spec.pin_path, spec.autocreate) == (Pinning.BY_NAME, "/sys/fs/bpf/x", False)
        image.set_map("counts", pin_path=None)
        assert image.maps["counts"].pin_path is None

    def test_a_type_of_another_size_is_dropped(self, image: Image) -> None:
        image.set_map("counts", value_size=16)
        spec = image.maps["counts"]
        assert (spec.value_size, spec.value_type, bool(spec.key_type)) == (16, 0, True)

    def test_slots(self, image: Image) -> None:
        image.set_map("jumps", slots={3: "prog", 1: "prog"})
        assert image.maps["jumps"].slots == (Slot(1, "prog"), Slot(3, "prog"))
        with pytest.raises(UnknownNameError, match="there is no program 'progg'\n>>> did you mean 'prog'"):
            image.set_map("jumps", slots={3: "progg"})
        with pytest.raises(ConfigurationError, match="map counts holds neither maps nor programs"):
            image.set_map("counts", slots={3: "prog"})

    def test_inner_maps(self, image: Image) -> None:
        image.set_map("counts", map_type="hash_of_maps", value_size=4)
        image.set_map("jumps", pinning=1)
        image.set_map("counts", inner="jumps", slots={0: "jumps"})
        inner = image.maps["counts"].inner
        assert inner == image.maps["jumps"]._replace(pinning=Pinning.NONE)
        own = MapSpec("own", "own", MapType.ARRAY, 4, 4, 1)
        image.set_map("counts", inner=own)
        assert image.maps["counts"].inner is own

    @pytest.mark.parametrize(
        ("name", "fields", "message"),
        [
            ("count", {"max_entries": 1}, "there is no map 'count'\n>>> did you mean 'counts'?"),
            (
                "counts",
                {"max_entry": 1},
                "no field of maps called 'max_entry'\n>>> did you mean 'max_entries'?",
            ),
            (
                "counts",
                {"max_entries": -1},
                "map counts: max_entries cannot be -1: it is a number from 0 to",
            ),
            ("counts", {"max_entries": "many"}, "max_entries cannot be 'many': it is a number"),
            ("counts", {"max_entries": True}, "max_entries cannot be True: it is a number"),
            ("counts", {"map_type": "hush"}, "map_type cannot be 'hush': it is no MapType, did you mean hash?"),
            ("counts", {"pinning": 2}, "pinning cannot be 2: "),
            ("counts", {"autocreate": 1}, "autocreate cannot be 1: it is True or False"),
            ("counts", {"pin_path": 1}, "pin_path cannot be 1: it is a text, or None"),
            ("counts", {"programs": {}}, "map counts is no struct of operations"),
            ("counts", {"inner": 5}, "map counts: inner is a MapSpec or the name of a map, not 5"),
            ("counts", {"inner": "other"}, "there is no map 'other'"),
            ("jumps", {"slots": [1]}, "map jumps: slots are names by their indexes, not [1]"),
            ("jumps", {"slots": {-1: "prog"}}, "map jumps: index cannot be -1"),
            (".data", {"max_entries": 2}, "map .data holds global data, whose max_entries cannot be another"),
            (".data", {"value_size": 5}, "map .data: 5 bytes have no room for variable 'limits'"),
        ],
    )
    def test_what_cannot_be(self, image: Image, name: str, fields: dict[str, object], message: str) -> None:
        before = dict(image.maps)
        with pytest.raises(BpfasError) as caught:
            image.set_map(name, **fields)
        assert message in str(caught.value)
        assert image.maps == before


@pytest.mark.peer
class TestSizesOfData:
    def test_an_array_at_the_end_grows(self, image: Image) -> None:
        image.set_map(".rodata.sizes", value_size=20)
        image.data["sizes"] = [1, 2, 3, 4, 5]
        spec = image.maps[".rodata.sizes"]
        assert spec.value_size == 20
        assert spec.contents == struct.pack("<5i", 1, 2, 3, 4, 5)
        assert spec.value_type
        assert image.data["sizes"] == (1, 2, 3, 4, 5)

    def test_what_the_kernel_is_told_grows_too(self, image: Image) -> None:
        image.set_map(".rodata.sizes", value_size=20)
        assert image.kernel_btf
        types = read_btf(image.kernel_btf, image.byte_order, "kernel")
        datasec = image.maps[".rodata.sizes"].value_type
        (entry,) = types.entries(datasec)
        assert (types.name(datasec), types.size_or_type(datasec), entry.size) == (".rodata.sizes", 20, 20)
        array = types.array(types.size_or_type(entry.type_id))
        assert (types.kind(types.size_or_type(entry.type_id)), array.nelems) == (Kind.ARRAY, 5)

    def test_it_shrinks(self, image: Image) -> None:
        image.set_map(".rodata.sizes", value_size=4)
        assert image.data["sizes"] == (1,)

    def test_its_elements_stay_whole(self, image: Image) -> None:
        with pytest.raises(ConfigurationError, match=r"value_size may be 8 or 12") as caught:
            image.set_map(".rodata.sizes", value_size=10)
        assert "the last variable 'sizes' is an array of 4 bytes each" in str(caught.value)

    def test_other_data_gets_room_behind_it(self, image: Image) -> None:
        image.set_map(".bss", value_size=64)
        spec = image.maps[".bss"]
        assert (spec.value_size, spec.contents, bool(spec.value_type)) == (64, None, True)
        assert image.types
        assert image.types.size_or_type(spec.value_type) == 64
        image.data["total"] = 1
        assert image.maps[".bss"].contents == b"\1".ljust(64, b"\0")

    def test_no_bytes_at_all(self, image: Image) -> None:
        with pytest.raises(ConfigurationError):
            image.set_map(".rodata.sizes", value_size=0)

    def test_without_types(self) -> None:
        section = data(".data", b"abcd")
        image = build_image(obj(section, variable("x", section)))
        image.set_map(".data", value_size=8)
        assert image.maps[".data"].contents == b"abcd\0\0\0\0"
        with pytest.raises(ConfigurationError, match="2 bytes have no room for variable 'x'"):
            image.set_map(".data", value_size=2)


@pytest.mark.peer
class TestPrograms:
    def test_another_section(self, image: Image) -> None:
        image.set_program("prog", section="xdp.frags/devmap")
        program = image.programs["prog"]
        assert (program.program_type, program.expected_attach_type) == (ProgramType.XDP, AttachType.XDP_DEVMAP)
        assert (program.flags, program.section) == (ProgramFlag.XDP_HAS_FRAGS, "xdp.frags/devmap")
        assert program.kind is section_kind("xdp.frags/devmap")

    def test_the_section_says_the_target(self, image: Image) -> None:
        image.set_program("traced", target="other")
        assert image.programs["traced"].attach_target == "other"
        image.set_program("traced", section="fexit/third")
        assert image.programs["traced"].attach_target == "third"
        image.set_program("traced", section="fexit/third", target="fourth")
        assert image.programs["traced"].attach_target == "fourth"

    def test_type_and_attach_type(self, image: Image) -> None:
        image.set_program("prog", program_type="tracing", expected_attach_type=AttachType.TRACE_FEXIT, target="f")
        program = image.programs["prog"]
        assert (program.program_type, program.expected_attach_type) == (
            ProgramType.TRACING,
            AttachType.TRACE_FEXIT,
        )
        assert program.kind is section_kind("fexit")

    def test_other_fields(self, image: Image) -> None:
        fields = {"autoload": False, "flags": 4, "license": "MIT", "kernel_version": 0x50000, "ifindex": 3}
        image.set_program("prog", **fields)
        program = image.programs["prog"]
        assert (program.autoload, int(program.flags), program.license) == (False, 4, b"MIT")
        assert (program.kernel_version, program.ifindex) == (0x50000, 3)
        assert program.kind is section_kind("socket")

    @pytest.mark.parametrize(
        ("name", "fields", "message"),
        [
            ("progg", {}, "there is no program 'progg'\n>>> did you mean 'prog'?"),
            (
                "prog",
                {"sektion": "xdp"},
                "no field of programs called 'sektion'\n>>> did you mean 'section'?",
            ),
            ("prog", {"section": "xpd"}, "program prog: section 'xpd' stands for no program type"),
            (
                "prog",
                {"program_type": "xpd"},
                "cannot be 'xpd': it is no ProgramType, did you mean xdp?",
            ),
            ("prog", {"autoload": "no"}, "autoload cannot be 'no': it is True or False"),
        ],
    )
    def test_what_cannot_be(self, image: Image, name: str, fields: dict[str, object], message: str) -> None:
        before = dict(image.programs)
        with pytest.raises(BpfasError) as caught:
            image.set_program(name, **fields)
        assert message in str(caught.value)
        assert image.programs == before


@pytest.mark.peer
def test_structs_of_operations_get_other_programs(compile_c: Callable[..., str]) -> None:
    source = """struct ops { int flags; int (*first)(void *); int (*second)(void *); };
    SEC("struct_ops") int one(void *ctx) { return 1; }
    SEC("struct_ops") int two(void *ctx) { return 2; }
    SEC("xdp") int packet(void *ctx) { return 2; }
    SEC(".struct_ops") struct ops mine = {.flags = 3, .first = one, .second = one};
    """
    path = compile_c(source, "-g")
    image = build_image(read_object(Path(path).read_bytes(), path))
    image.set_map("mine", programs={"first": "two", "second": None})
    operations = image.maps["mine"].struct_ops
    assert operations
    assert operations.programs == {"first": "two"}
    with pytest.raises(UnknownNameError, match="there is no function in struct ops called 'flags'"):
        image.set_map("mine", programs={"flags": "two"})
    with pytest.raises(UnknownNameError, match="there is no program 'three'"):
        image.set_map("mine", programs={"first": "three"})
    with pytest.raises(ConfigurationError, match="program 'packet' is not of type struct_ops"):
        image.set_map("mine", programs={"first": "packet"})
    image.data["mine"] = {"flags": 7}
    assert image.data["mine"].flags == 7
    assert image.maps["mine"].contents == b"\7".ljust(24, b"\0")


def test_an_image_without_anything_to_change() -> None:
    section = code("xdp", PASS)
    image = build_image(obj(section, function("prog", section)))
    assert list(image.data) == []
    with pytest.raises(UnknownNameError, match="there is no variable 'x'\n>>> there is none"):
        image.data["x"]
