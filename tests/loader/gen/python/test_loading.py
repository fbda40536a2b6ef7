"""Python modules of loader programs that load: values, elements, failures, what is found out on the machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import open_image
from bpfas.loader.gen import GenOptions
from bpfas.loader.kinds import MapType
from tests.loader.gen.python.support import REFUSED, SOURCE, command, interpret
from tests.loader.kernel_support import map_type, needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.kernel


@needs(map_type(MapType.RINGBUF), map_type(MapType.BLOOM_FILTER))
def test_loads_and_runs(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(SOURCE),
        """
        with app.open() as skel:
            skel.data.threshold = 5
            skel.data.origin.x = 100
            skel.rodata.limit = 1
            skel.bss.total = 1000
            skel.maps.points.max_entries = 64
            assert skel.load() is skel
            skel.maps.points[0] = app.Point(x=3)
            run = skel.progs.prog.test_run(bytes(64))
            print(run.retval, len(run.data), skel.bss.total, skel.maps.points[0].x, sum(skel.maps.counts[0]))
            print(skel.maps.events.read(), skel.maps.events.read(), skel.maps.queue.peek(), skel.maps.queue.pop())
            skel.data.threshold = 6
            skel.progs.prog.test_run(bytes(64))
            print(skel.bss.total, skel.maps.events.wait(1)[0][0], skel.maps.points[0].x, skel.progs.unused.fd)
            count = 0
            try:
                while count < 100:
                    skel.maps.points[count] = {"x": count}
                    count += 1
            except app.BpfError as error:
                print(count, error.errno_name)
            try:
                skel.rodata.limit = 2
            except TypeError as error:
                print(error)
            print(skel.maps.events.max_entries == os.sysconf("SC_PAGE_SIZE"), skel.maps.perf.max_entries > 0)
        skel.close()
        try:
            skel.data.threshold
        except ValueError as error:
            print(error)
        """,
    )
    little = sys.byteorder == "little"
    assert printed.splitlines() == [
        f"{2 + 100 + 5 + ord('h') + 1} 64 1006 7 1",
        f"[{(5).to_bytes(4, sys.byteorder)!r}] [] 5 5",
        f"1013 {6 if little else 0} 11 -1",
        "64 E2BIG",
        "limit: it is read-only once it is loaded: give it its value before that",
        "True True",
        "the object is closed",
    ]


@needs(map_type(MapType.BLOOM_FILTER))
def test_elements_of_maps(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(SOURCE),
        """
        with app.open_and_load() as skel:
            points, counts, plain = skel.maps.points, skel.maps.counts, skel.maps.plain
            seen, queue = skel.maps.seen, skel.maps.queue
            points[-1] = {"x": 1, "tag": b"ab"}
            points[2] = bytes(24)
            points.update(3, app.Point(y=4), app.NOEXIST)
            print(sorted(points), -1 in points, 5 in points, points.get(5), points[-1].tag, points.pop(3).y)
            del points[2]
            print({key: value.x for key, value in points.items()}, len(list(points.values())))
            for action in (lambda: points[2], lambda: points.delete(2)):
                try:
                    action()
                except KeyError as error:
                    print("KeyError", error)
            try:
                points.update(-1, {}, app.NOEXIST)
            except app.BpfError as error:
                print(error)
            counts[1] = [7] * len(counts[1])
            print(set(counts[1]), list(counts))
            plain[1] = b"abc"
            print(plain[1])
            seen.push(5)
            print(5 in seen)
            queue.push(1)
            queue.push(2)
            print(queue.pop(), queue.pop(), queue.pop("none"))
            try:
                points["x"]
            except TypeError as error:
                print(error)
        """,
    )
    assert printed.splitlines() == [
        "[-1, 2, 3] True False None b'ab\\x00\\x00' 4",
        "{-1: 1} 1",
        "KeyError 2",
        "KeyError 2",
        "cannot update map points: EEXIST: File exists",
        "{7} [0, 1]",
        "b'abc\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00'",
        "True",
        "1 2 none",
        "key of map points: 'x' is no whole number",
    ]


def test_refusal_tells_step_and_whole_log_and_can_be_mended(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(REFUSED),
        """
        with app.open() as skel:
            skel.rodata.is_wrong = 1
            fds = os.listdir("/proc/self/fd")
            try:
                skel.load()
            except app.LoadError as error:
                print(error.step, error.errno_name, "R1" in error.log, "processed" in error.log)
                print(str(error).endswith(error.log.rstrip()))
            print(os.listdir("/proc/self/fd") == fds, skel.is_loaded)
            skel.rodata.is_wrong = 0
            skel.maps.counts.max_entries = 0xffffffff
            try:
                skel.load()
            except app.LoadError as error:
                print(error.step, error.errno_name in ("E2BIG", "ENOMEM"))
            skel.maps.counts.max_entries = 5
            skel.load(log_level=1)
            print("processed" in skel.log, skel.progs.bad.test_run(bytes(64)).retval)
            try:
                skel.load()
            except app.LoadError as error:
                print(error)
        """,
    )
    assert printed.splitlines() == [
        "load program bad (BPF_PROG_LOAD) EACCES True True",
        "True",
        "True False",
        "create map counts (BPF_MAP_CREATE) True",
        "True 2",
        "cannot load app: EALREADY: it is loaded",
    ]


def test_program_can_be_left_out(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(REFUSED),
        """
        with app.open() as skel:
            skel.rodata.is_wrong = 1
            skel.progs.bad.autoload = False
            skel.load()
            print(skel.progs.bad.fd, skel.progs.good.test_run(bytes(64)).retval)
        """,
    )
    assert printed == "-1 3\n"


KCONFIG = """
extern int CONFIG_HZ __kconfig;
extern _Bool CONFIG_BPF_SYSCALL __kconfig __weak;
extern int CONFIG_NONESUCH __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig __weak;
extern unsigned LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig;
SEC("socket") int prog(void *ctx) {
    return CONFIG_HZ + CONFIG_BPF_SYSCALL + CONFIG_NONESUCH + CONFIG_DEFAULT_HOSTNAME[0] + LINUX_KERNEL_VERSION
        + LINUX_HAS_BPF_COOKIE;
}
"""


def test_kconfig_is_the_running_kernels_unless_set(write_module: Callable[..., Path]) -> None:
    options = GenOptions(kconfig='CONFIG_HZ=12\nCONFIG_DEFAULT_HOSTNAME="abc"\n')
    printed = interpret(
        write_module(KCONFIG, options),
        """
        with app.open_and_load() as skel:
            print(skel.kconfig.CONFIG_HZ, skel.kconfig.CONFIG_NONESUCH, skel.kconfig.CONFIG_DEFAULT_HOSTNAME)
            print(skel.kconfig.LINUX_KERNEL_VERSION >> 16, skel.kconfig.LINUX_HAS_BPF_COOKIE)
        with app.open() as skel:
            skel.kconfig.CONFIG_HZ = 500
            skel.kconfig.CONFIG_NONESUCH = -3
            skel.load()
            print(skel.kconfig.CONFIG_HZ, skel.kconfig.CONFIG_NONESUCH, skel.kconfig.CONFIG_BPF_SYSCALL in (0, 1))
        """,
    )
    assert printed.splitlines() == ["12 0 abc", f"{os.uname().release.split('.')[0]} True", "500 -3 True"]


def test_the_kernels_version_may_be_said_too(write_module: Callable[..., Path]) -> None:
    module = write_module(KCONFIG, GenOptions(kconfig="LINUX_KERNEL_VERSION=0x40302\n"))
    code = "with app.open_and_load() as skel: print(hex(skel.kconfig.LINUX_KERNEL_VERSION))"
    assert interpret(module, code).strip() == "0x40302"


def test_kconfig_that_the_kernel_does_not_say_is_told(write_module: Callable[..., Path]) -> None:
    module = write_module(KCONFIG.replace("CONFIG_NONESUCH __kconfig __weak", "CONFIG_NONESUCH __kconfig"))
    code = """
    with app.open() as skel:
        try:
            skel.load()
        except app.LoadError as error:
            print(error.step, error.errno_name, error.reason)
        skel.kconfig.CONFIG_HZ = skel.kconfig.CONFIG_NONESUCH = 1
        skel.load()
        print(skel.kconfig.CONFIG_NONESUCH)
    """
    told, value = interpret(module, code).splitlines()
    assert told.startswith("find out the kernel's configuration ENODATA ")
    assert "CONFIG_NONESUCH" in told
    assert "skel.kconfig.CONFIG_NONESUCH = ..." in told
    assert value == "1"


ARENA = """
#define __arena __attribute__((address_space(1)))
struct { __uint(type, 33); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 4); } arena SEC(".maps");
int __arena first SEC(".addr_space.1") = 40;
int __arena second SEC(".addr_space.1") = 2;
SEC("syscall") int sum(void *ctx) { first++; return first + second + ((long)&arena == 1); }
"""


@needs(map_type(MapType.ARENA))
def test_arena(write_module: Callable[..., Path]) -> None:
    printed = interpret(
        write_module(ARENA),
        """
        with app.open() as skel:
            skel.arena.second = 3
            skel.load()
            print(skel.progs.sum.test_run().retval, skel.arena.first)
            print(len(skel.maps.arena.view) == skel.maps.arena.size)
            skel.arena.first = 10
            print(skel.progs.sum.test_run().retval)
        """,
    )
    assert printed.splitlines() == ["44 41", "True", "14"]


@needs(map_type(MapType.ARENA))
def test_pinned_arena_is_left_as_it_is(
    write_module: Callable[..., Path], compile_c: Callable[..., str], bpffs: Path
) -> None:
    image = open_image(compile_c(ARENA, "-g", "-mcpu=v4"))
    image.set_map("arena", pin_path=str(bpffs / "arena"))
    use = """
    with app.open_and_load() as first, app.open_and_load() as second:
        print(second.progs.sum.test_run().retval, first.arena.first, second.maps.arena.address)
    """
    assert interpret(write_module(image), use) == "43 41 0\n"


@needs(map_type(MapType.ARENA))
def test_arena_at_a_wanted_address(write_module: Callable[..., Path], compile_c: Callable[..., str]) -> None:
    image = open_image(compile_c(ARENA, "-g", "-mcpu=v4"))
    image.set_map("arena", map_extra=1 << 44)
    use = "with app.open_and_load() as skel: print(hex(skel.maps.arena.address), skel.progs.sum.test_run().retval)"
    assert interpret(write_module(image), use) == "0x100000000000 43\n"


def test_arena_that_is_not_made(write_module: Callable[..., Path], compile_c: Callable[..., str]) -> None:
    image = open_image(compile_c(ARENA, "-g", "-mcpu=v4"))
    image.set_map("arena", autocreate=False)
    image.set_program("sum", autoload=False)
    assert interpret(write_module(image), "with app.open_and_load() as skel: print(skel.maps.arena.fd)") == "-1\n"


def test_pinned_ring_buffer_is_shared(
    write_module: Callable[..., Path], compile_c: Callable[..., str], bpffs: Path
) -> None:
    """Its size is rounded up when it is made."""
    source = """
    struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1000); } ring SEC(".maps");
    SEC("socket") int prog(void *ctx) { long one = 1; return bpf_ringbuf_output(&ring, &one, 8, 0); }
    """
    image = open_image(compile_c(source, "-g"))
    image.set_map("ring", pin_path=str(bpffs / "ring"))
    use = """
        with app.open_and_load() as first, app.open_and_load() as second:
            first.progs.prog.test_run(bytes(64))
            print(len(second.maps.ring.read()))
    """
    assert interpret(write_module(image), use) == "1\n"


def test_pinned_map_with_another_map_extra(
    write_module: Callable[..., Path], compile_c: Callable[..., str], bpffs: Path
) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 8); __type(value, int);
        __uint(map_extra, HASHES); } bloom SEC(".maps");
    SEC("socket") int prog(void *ctx) { int one = 1; return bpf_map_peek_elem(&bloom, &one); }
    """
    # Python takes a module for the same whose file has the same size within a second.
    for hashes, found in (("3", "-\n"), ("3", "-\n"), ("12", "its map_extra is 3, not 12")):
        image = open_image(compile_c(source.replace("HASHES", hashes), "-g"))
        image.set_map("bloom", pin_path=str(bpffs / "bloom"))
        use = """
            try:
                with app.open_and_load(): print("-")
            except app.LoadError as error:
                print(error.reason)
        """
        assert interpret(write_module(image), use).startswith(found)


def test_no_pin_stays_of_a_failure(
    write_module: Callable[..., Path], compile_c: Callable[..., str], bpffs: Path
) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, int); }
        first SEC(".maps"), second SEC(".maps");
    SEC("socket") int prog(void *ctx) { return (long)&first == (long)&second; }
    """
    image = open_image(compile_c(source, "-g"))
    image.set_map("first", pin_path=str(bpffs / "first"))
    image.set_map("second", pin_path="/proc/second")
    use = """
        try:
            app.open_and_load()
        except app.LoadError as error:
            print(error.step)
    """
    assert interpret(write_module(image), use) == "pin map second at /proc/second\n"
    assert not list(bpffs.iterdir())


def test_pinned_maps_are_shared(
    write_module: Callable[..., Path], compile_c: Callable[..., str], bpffs: Path
) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, int); __type(value, int); }
        shared SEC(".maps");
    SEC("socket") int prog(void *ctx) { int key = 1; return !bpf_map_lookup_elem(&shared, &key); }
    """
    image = open_image(compile_c(source, "-g"))
    image.set_map("shared", pin_path=str(bpffs / "shared"))
    printed = interpret(
        write_module(image),
        """
        with app.open_and_load() as first, app.open_and_load() as second:
            first.maps.shared[1] = 2
            print(second.maps.shared[1])
        with app.open_and_load() as skel:
            print(skel.maps.shared[1])
        with app.open() as skel:
            skel.maps.shared.max_entries = 9
            try:
                skel.load()
            except app.LoadError as error:
                print(error.reason)
        """,
    )
    assert printed.splitlines() == [
        "2",
        "2",
        f"its max entries is 4, not 9 (rm {bpffs / 'shared'} removes it)",
    ]


def test_maps_in_maps_take_what_has_a_descriptor(write_module: Callable[..., Path]) -> None:
    source = """
    struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
        __type(value, long); } first SEC(".maps"), second SEC(".maps");
    struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 3); __type(key, int);
        __array(values, struct inner); } outer SEC(".maps") = { .values = { [1] = &second } };
    SEC("socket") int prog(void *ctx) { int key = 1; return !bpf_map_lookup_elem(&outer, &key); }
    """
    printed = interpret(
        write_module(source),
        """
        with app.open_and_load() as skel:
            outer = skel.maps.outer
            outer[0] = skel.maps.first
            print(outer[0] > 0, outer[1] > 0, outer.get(2))
        """,
    )
    assert printed == "True True None\n"


def test_buffers_of_perf_events(write_module: Callable[..., Path]) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); }
        events SEC(".maps");
    struct record { int number; char text[36]; } record = {-1, "text"};
    SEC("xdp") int prog(struct xdp_md *ctx) {
        record.number++;
        return !!bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &record, sizeof(record));
    }
    """
    printed = interpret(
        write_module(source),
        """
        with app.open_and_load() as skel:
            # That a record was lost is told with the next one of its CPU.
            os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
            skel.maps.events.open_buffers(pages=1)
            read = []
            for round in range(100):
                skel.progs.prog.test_run(bytes(64), repeat=20)
                read += skel.maps.events.wait(5)
            numbers = sorted(int.from_bytes(data[:4], sys.byteorder) for _, data in read)
            print(numbers == list(range(2000)), {data[4:8] for _, data in read}, skel.maps.events.lost)
            skel.progs.prog.test_run(bytes(64), repeat=500)
            skel.maps.events.read()
            skel.progs.prog.test_run(bytes(64))
            skel.maps.events.read()
            print(skel.maps.events.lost > 0)
        """,
    )
    assert printed.splitlines() == ["True {b'text'} 0", "True"]


def test_a_directory_that_nothing_can_be_pinned_in_is_not_left_behind(
    write_module: Callable[..., Path], tmp_path: Path
) -> None:
    run = command(write_module(SOURCE), "--pin", str(tmp_path / "new"))
    assert run.returncode == 1
    assert "not in a BPF file system" in run.stderr
    assert not (tmp_path / "new").exists()


def test_elements_are_not_there_before_loading(write_module: Callable[..., Path]) -> None:
    code = """
    with app.open() as skel:
        for use in (skel.maps.counts.get, skel.maps.counts.delete, lambda _: list(skel.maps.counts)):
            try:
                use(0)
            except app.BpfError as error:
                print(error.reason)
    """
    assert interpret(write_module(SOURCE), code).splitlines() == ["it is not loaded: load() comes first"] * 3


def test_command_pins(write_module: Callable[..., Path], bpffs: Path) -> None:
    module = write_module(REFUSED)
    assert command(module, "--pin", str(bpffs / "new")).returncode == 0
    assert sorted(path.name for path in (bpffs / "new").iterdir()) == ["_data", "_rodata", "bad", "counts", "good"]
    run = command(module, "--pin", str(bpffs / "new"))
    assert run.returncode == 1
    assert "EEXIST" in run.stderr
    assert len(list((bpffs / "new").iterdir())) == 5


def test_signals_do_not_keep_it_from_loading(write_module: Callable[..., Path]) -> None:
    """The kernel says EAGAIN where one comes while it verifies."""
    use = """
        times = app.LOADER.times = []
        run_once = app.Loader._run_once
        def interrupted(self, *arguments):
            times.append(0)
            if len(times) < limit:
                raise app.LoadError("load program prog (BPF_PROG_LOAD)", app.errno.EAGAIN)
            return run_once(self, *arguments)
        app.Loader._run_once = interrupted
        for limit in (3, 99):
            try:
                with app.open_and_load() as skel:
                    print(skel.progs.prog.fd > 0, len(times))
            except app.LoadError as error:
                print(error.errno_name)
    """
    source = 'SEC("socket") int prog(void *ctx) { return 0; }'
    assert interpret(write_module(source), use) == "True 3\nEAGAIN\n"
