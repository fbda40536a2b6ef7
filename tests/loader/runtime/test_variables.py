"""Global variables and arenas of loaded programs, read and written while they run."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, cast

import pytest

from bpfas.btf.codecs import EncodingError
from bpfas.loader import KernelError, load, syscall
from bpfas.loader.image.variables import UnknownNameError
from bpfas.loader.kinds import MapFlag, MapType
from bpfas.loader.runtime.maps import Map
from bpfas.loader.runtime.memory import PAGE_SIZE
from bpfas.loader.runtime.variables import Variables
from bpfas.loader.spec import MapSpec, Variable
from tests.loader.builders import PASS, code, data, function, obj, variable
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader import Collection

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]

PACKET = bytes(64)
SOURCE = r"""
struct limits { __u32 low, high; char name[8]; };
long threshold = 7;
struct limits limits = { 1, 2, "first" };
int table[4];
_Bool enabled;
const volatile int wanted = 5;
static volatile int hidden = 3;

SEC("xdp") int next(void *ctx)
{
    table[1] += limits.high;
    hidden++;
    threshold += wanted;
    return enabled;
}
"""


@pytest.fixture
def app(compile_c: Callable[..., str]) -> Iterator[Collection]:
    with load(compile_c(SOURCE, "-g")) as loaded:
        yield loaded


@pytest.mark.peer
def test_closing_though_somebody_keeps_a_view_of_the_memory(compile_c: Callable[..., str]) -> None:
    with load(compile_c(SOURCE, "-g")) as loaded:
        numbers = struct.iter_unpack("=Q", loaded.maps[".data"].memory.view[:8])
        assert next(numbers) == (7,)
        words = struct.iter_unpack("=Q", loaded.maps[".data"].memory.view)
    assert loaded.maps[".data"].fd == -1
    del words, numbers


@pytest.mark.peer
def test_variables_are_read_and_written_while_programs_run(app: Collection) -> None:
    app.data["limits"] = {"high": 50, "name": "second"}
    app.data["enabled"] = True
    app.data["table"] = [1, 2, 3, 4]
    app.data["threshold"] += 100
    assert app.programs["next"].test_run(PACKET).retval == 1
    assert dict(app.data) == {
        "threshold": 112,
        "limits": {"low": 0, "high": 50, "name": "second"},
        "table": (1, 52, 3, 4),
        "enabled": True,
        "wanted": 5,
        "hidden": 4,
    }
    app.data["hidden"] = 10
    app.programs["next"].test_run(PACKET)
    assert app.data["hidden"] == 11
    assert "threshold" in app.data
    assert len(app.data) == 6


@pytest.mark.peer
def test_what_is_no_variable_or_no_value(app: Collection) -> None:
    with pytest.raises(KeyError, match="there is no variable 'treshold'\n>>> did you mean 'threshold'"):
        app.data["treshold"]
    with pytest.raises(EncodingError, match=r"variable limits: high: -1 does not fit into 'unsigned int'"):
        app.data["limits"] = {"high": -1}
    with pytest.raises(KernelError, match=r"variable \.rodata:wanted: .* its section \.rodata is read-only"):
        app.data["wanted"] = 6
    assert app.data["wanted"] == 5


@pytest.mark.peer
def test_variables_of_a_closed_collection(app: Collection) -> None:
    assert app.data["threshold"] == 7
    app.close()
    with pytest.raises(KernelError, match="EBADF: it is closed"):
        app.data["threshold"]


def test_variables_without_types_are_bytes() -> None:
    section = data(".data", struct.pack("=QI4x", 5, 6))
    xdp = code("xdp", PASS)
    parts = (
        xdp,
        section,
        function("prog", xdp),
        variable("wide", section, 0, 8),
        variable("small", section, 8, 4),
    )
    with load(obj(*parts)) as app:
        assert dict(app.data) == {"wide": struct.pack("=Q", 5), "small": struct.pack("=I", 6)}
        app.data["wide"] = 77
        app.data["small"] = b"abcd"
        assert app.maps[".data"].raw[bytes(4)] == struct.pack("=Q4s4x", 77, b"abcd")


def make_map(name: str, flags: int, *variables: Variable) -> Map:
    spec = MapSpec(name, name, MapType.ARRAY, 4, 16, 1, flags, variables=variables, section=name)
    return Map(spec, syscall.map_create("m", MapType.ARRAY, 4, 16, 1, flags))


def test_one_name_in_several_maps() -> None:
    with (
        make_map("a", 0, Variable("x", 0, 4, is_static=True)) as first,
        make_map("b", MapFlag.MMAPABLE, Variable("x", 4, 4)) as second,
    ):
        variables = Variables({"a": first, "b": second})
        variables["x"] = 1
        variables["a:x"] = 2
        assert list(variables) == ["a:x", "x"]
        assert (variables["x"], variables["b:x"]) == (struct.pack("=I", 1), struct.pack("=I", 1))
        assert variables["a:x"] == struct.pack("=I", 2)


def test_a_name_that_stands_for_several() -> None:
    one, two = (Variable("x", offset, 4, is_static=True) for offset in (0, 4))
    with make_map("a", 0, one) as first, make_map("b", 0, two, Variable("y", 0, 4, is_static=True)) as second:
        variables = Variables({"a": first, "b": second})
        with pytest.raises(UnknownNameError, match="there are several variables 'x'\n>>> say which: a:x or b:x"):
            variables["x"] = 1
        variables["b:x"] = 2
        assert dict(variables) == {"a:x": bytes(4), "b:x": struct.pack("=I", 2), "y": bytes(4)}
    with make_map("a", 0, one, two) as both:
        variables = Variables({"a": both})
        with pytest.raises(KeyError, match="2 static variables are called 'a:x'"):
            variables["a:x"]
        assert not dict(variables)
        with pytest.raises(KeyError):
            variables[cast("str", 5)]


def test_the_memory_of_a_map() -> None:
    with make_map("a", MapFlag.MMAPABLE) as shared, make_map("b", 0) as other:
        shared.memory.view[:4] = b"abcd"
        assert shared.raw[bytes(4)] == b"abcd" + bytes(12)
        with pytest.raises(KernelError, match="mapping it into memory failed with"):
            other.memory  # noqa: B018
    shared.close()
    with pytest.raises(KernelError, match="EBADF"):
        shared.memory  # noqa: B018


def test_a_frozen_map_is_read_where_it_lies() -> None:
    with make_map("a", MapFlag.MMAPABLE, Variable("x", 0, 4)) as frozen:
        frozen[0] = b"abcd" + bytes(12)
        frozen.freeze()
        variables = Variables({"a": frozen})
        assert variables["x"] == b"abcd"
        with pytest.raises(KernelError, match="read-only"):
            variables["x"] = 1


ARENA_ADDRESS = 1 << 44


@needs(Need.ARENA)
@pytest.mark.parametrize("address", [0, ARENA_ADDRESS])
def test_an_arena_lies_in_memory(address: int) -> None:
    fd = syscall.map_create("a", MapType.ARENA, 0, 0, 4, MapFlag.MMAPABLE, map_extra=address)
    spec = MapSpec(
        "a",
        "a",
        MapType.ARENA,
        0,
        0,
        4,
        MapFlag.MMAPABLE,
        map_extra=address,
        data_offset=8,
        variables=(Variable("x", 4, 4),),
    )
    with Map(spec, fd) as arena:
        assert arena.memory.size == 4 * PAGE_SIZE
        assert not address or arena.memory.address == address
        arena.fill_arena(8, b"first\0\0\0")
        variables = Variables({"a": arena})
        assert variables["x"] == b"t\0\0\0"
        variables["x"] = 5
        assert bytes(arena.memory.view[8:16]) == b"firs" + struct.pack("=I", 5)


@needs(Need.ARENA)
@pytest.mark.peer
def test_the_end_of_data_in_an_arena(compile_c: Callable[..., str]) -> None:
    source = r"""
    #define __arena __attribute__((address_space(1)))
    struct { __uint(type, 33); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 4); }
        arena SEC(".maps");
    int __arena SEC(".addr_space.1") numbers[4] = {1, 2, 3, 4};
    SEC("syscall") int last(void *ctx)
    {
        int __arena *end;
        asm("%0 = numbers+16 ll" : "=r"(end));
        return end[-1] + 10 * numbers[0];
    }
    void *use(void) { return &arena; }
    """
    with load(compile_c(source, "-g", "-mcpu=v4")) as app:
        assert app.programs["last"].test_run().retval == 14


@needs(Need.ARENA)
@pytest.mark.peer
def test_variables_in_an_arena(compile_c: Callable[..., str]) -> None:
    source = r"""
    #define __arena __attribute__((address_space(1)))
    struct { __uint(type, 33); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 4); }
        arena SEC(".maps");
    int __arena SEC(".addr_space.1") total = 5;
    SEC("syscall") int add(void *ctx) { total += 3; return 0; }
    void *use(void) { return &arena; }
    """
    with load(compile_c(source, "-g", "-mcpu=v4")) as app:
        assert app.data["total"] == 5
        app.data["total"] = 10
        app.programs["add"].test_run()
        assert app.data["total"] == 13


def test_options_of_the_kernel_are_typed(compile_c: Callable[..., str]) -> None:
    source = """
    extern int CONFIG_HZ __kconfig;
    extern char CONFIG_NAME[8] __kconfig;
    extern enum libbpf_tristate CONFIG_BPF __kconfig;
    SEC("socket") int prog(void *ctx) { return CONFIG_HZ + CONFIG_BPF + CONFIG_NAME[0]; }
    """
    text = 'CONFIG_HZ=250\nCONFIG_NAME="abc"\nCONFIG_BPF=y\n'
    with load(compile_c(source, "-g"), kconfig=text) as app:
        value = app.maps[".kconfig"][0]
        assert (value.CONFIG_HZ, value.CONFIG_NAME, str(value.CONFIG_BPF)) == (250, "abc", "TRI_YES")
        assert app.data["CONFIG_HZ"] == 250
