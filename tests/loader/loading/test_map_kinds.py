"""Maps of every kind from C into the kernel, as far as loading alone shows what they are."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import pytest

import bpfas.loader
from bpfas.loader import syscall
from bpfas.loader.kernel.running import RunningKernel
from bpfas.loader.kinds import ProgramType
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.spec import Image

pytestmark = [pytest.mark.peer, pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]


@pytest.fixture
def open_c(compile_c: Callable[..., str]) -> Callable[[str], Image]:
    def open_source(source: str, *flags: str) -> Image:
        return bpfas.loader.open_image(compile_c(source, "-g", *flags))

    return open_source


def number(data: bytes | None) -> int:
    assert data is not None
    return int.from_bytes(data, sys.byteorder)


def test_slots_are_filled_whatever_their_order(open_c: Callable[[str], Image]) -> None:
    image = open_c("""
    struct inner {
        __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, int); __type(value, int);
    };
    extern struct inner one;
    struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 4); __uint(key_size, 4);
        __array(values, struct inner); } outer SEC(".maps") = {.values = {[3] = &one}};
    struct inner one SEC(".maps");
    SEC("socket") int tail(void *ctx);
    struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __uint(key_size, 4);
        __array(values, int (void *)); } jumps SEC(".maps") = {.values = {[2] = tail}};
    SEC("socket") int tail(void *ctx) { return 7; }
    SEC("socket") int prog(struct __sk_buff *ctx) {
        int key = 3, zero = 0;
        void *inner = bpf_map_lookup_elem(&outer, &key);
        if (inner && bpf_map_lookup_elem(inner, &zero))
            bpf_tail_call(ctx, &jumps, 2);
        return 1;
    }
    """)
    assert sorted(image.maps) == ["jumps", "one", "outer"]
    with bpfas.loader.load_image(image) as app:
        outer, one = app.maps["outer"], app.maps["one"]
        assert number(syscall.map_lookup_elem(outer.fd, struct.pack("=I", 3), 4)) == one.id
        result = app.programs["prog"].test_run(bytes(64))
        assert result.retval == 7


def test_variables_set_before_loading_are_what_programs_read(open_c: Callable[[str], Image]) -> None:
    image = open_c("""
    const volatile int limit = 1; int start = 2; const volatile int sizes[1] SEC(".rodata.sizes");
    SEC("socket") int prog(void *ctx) { return limit + start + sizes[0]; }
    """)
    image.data["limit"] = 10
    image.data["start"] = 200
    image.set_map(".rodata.sizes", value_size=4096)
    image.data["sizes"] = [3000, *[0] * 1023]
    with bpfas.loader.load_image(image) as app:
        assert app.programs["prog"].test_run(bytes(64)).retval == 3210
        info = syscall.map_info(app.maps[".rodata.sizes"].fd)
        assert (info.value_size, info.value_type != 0) == (4096, True)


def test_maps_changed_before_loading(open_c: Callable[[str], Image]) -> None:
    image = open_c("""
    struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, int); }
        counts SEC(".maps");
    """)
    image.set_map("counts", max_entries=100, map_type="lru_hash", value_size=24)
    with bpfas.loader.load_image(image) as app:
        info = syscall.map_info(app.maps["counts"].fd)
        assert (info.type, info.max_entries, info.value_size) == (9, 100, 24)


def test_programs_changed_before_loading(open_c: Callable[[str], Image]) -> None:
    image = open_c("""
    SEC("socket") int prog(void *ctx) { return 1; }
    SEC("xpd") int other(void *ctx) { return 1; }
    """)
    image.set_program("prog", section="xdp")
    image.set_program("other", autoload=False)
    with bpfas.loader.load_image(image) as app:
        assert list(app.programs) == ["prog"]
        assert app.programs["prog"].type == ProgramType.XDP


class TestStructsOfOperations:
    SOURCE = """
    struct bpf_dummy_ops_state; struct bpf_dummy_ops___mine {
        int (*test_1)(struct bpf_dummy_ops_state *state); int (*of_the_future)(void *);
    };
    SEC("struct_ops/test_1") int first(void *ctx) { return 5; }
    SEC("struct_ops/of_the_future") int later(void *ctx) { return 6; }
    SEC("%s") struct bpf_dummy_ops___mine mine = {.test_1 = (void *)first, .of_the_future = (void *)later};
    """

    def test_the_kernel_has_the_map_and_the_programs(self, open_c: Callable[[str], Image]) -> None:
        types = RunningKernel().types
        if types is None or not types.ids_named("bpf_struct_ops_bpf_dummy_ops"):
            pytest.skip("this kernel has no bpf_dummy_ops")
        with bpfas.loader.load_image(open_c(self.SOURCE % ".struct_ops")) as app:
            assert list(app.programs) == ["first"]
            info = syscall.map_info(app.maps["mine"].fd)
            assert info.type == 26
            assert info.value_size == 128

    def test_without_being_asked_for(self, open_c: Callable[[str], Image]) -> None:
        image = open_c(self.SOURCE % "?.struct_ops")
        with bpfas.loader.load_image(image) as app:
            assert (list(app.programs), list(app.maps)) == ([], [])


@needs(Need.ARENA)
def test_arena_data_is_in_the_arena(open_c: Callable[..., Image]) -> None:
    image = open_c(
        """
    #define __arena __attribute__((address_space(1)))
    struct { __uint(type, 33); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 4); } arena SEC(".maps");
    int __arena counter = 5; int __arena other = 6;
    SEC("syscall") int prog(void *ctx) {
        counter += other;
        return counter;
    }
    """,
        "-mcpu=v4",
    )
    image.data["other"] = 30
    with bpfas.loader.load_image(image) as app:
        assert app.programs["prog"].test_run().retval == 35
