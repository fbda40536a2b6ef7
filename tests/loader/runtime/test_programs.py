"""Programs in the running kernel: run with all options, opened again, listed, what they print."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind
from bpfas.diag import BpfasError
from bpfas.loader import AttachError, KernelError, load, open_image, syscall
from bpfas.loader.errors import Step
from bpfas.loader.kinds import ProgramType
from bpfas.loader.runtime.listing import list_btf, list_links, list_maps, list_pins, list_programs
from bpfas.loader.runtime.maps import Map
from bpfas.loader.runtime.opening import ObjectKind
from bpfas.loader.runtime.programs import Program, TestRunFlag
from tests.loader.kernel_support import Need, kernel_type, what_is_wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.loader import Collection

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

PACKET = bytes(64)
SOURCE = r"""
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, long); }
    runs SEC(".maps");

SEC("xdp") int pass(void *ctx)
{
    int zero = 0;
    long *count = bpf_map_lookup_elem(&runs, &zero);
    if (count)
        ++*count;
    return XDP_DROP;
}

SEC("tc") int mark(struct __sk_buff *skb)
{
    skb->mark = skb->priority + 1;
    return 0;
}

SEC("raw_tp/task_newtask") int where(void *ctx)
{
    return bpf_get_smp_processor_id();
}
"""


@pytest.fixture
def app(compile_c: Callable[..., str]) -> Iterator[Collection]:
    with load(compile_c(SOURCE, "-g")) as loaded:
        yield loaded


def test_a_program_is_opened_by_pin_and_id(app: Collection, bpffs: Path) -> None:
    program = app.programs["pass"]
    path = bpffs / "pass"
    program.pin(path)
    with Program.from_pin(path) as pinned, Program.from_id(program.id) as by_id:
        assert pinned.info().tag == by_id.info().tag == program.info().tag
        assert (pinned.name, pinned.type) == ("pass", ProgramType.XDP)
        assert pinned.test_run(PACKET).retval == 1
        assert pinned.instruction_count == len(program.translated()) // 8
        assert pinned.map_ids() == [app.maps["runs"].id]
        types = pinned.types()
        assert types is not None
        assert "pass" in [types.name(type_id) for type_id in types.ids_of_kind(Kind.FUNC)]
    with pytest.raises(KernelError, match="what is pinned there is a program, not a map"):
        Map.from_pin(path)
    program.unpin(path)
    with pytest.raises(
        KernelError, match=r"opening the program failed with ENOENT: there is nothing of that name"
    ):
        Program.from_pin(path)
    with pytest.raises(KernelError, match="program 4294967295: opening the program failed with ENOENT"):
        Program.from_id(0xFFFFFFFF)


def test_what_the_machine_has_is_listed(app: Collection, bpffs: Path) -> None:
    program, runs = app.programs["pass"], app.maps["runs"]
    assert program.id in [info.id for info in list_programs()]
    assert ("runs", runs.id) in [(info.name, info.id) for info in list_maps()]
    assert any(info.name == "vmlinux" and info.is_kernel for info in list_btf())
    assert isinstance(list_links(), list)
    program.pin(bpffs / "pass")
    runs.pin(bpffs / "runs")
    pins = [(pin.path, pin.kind, pin.id) for pin in list_pins(bpffs)]
    assert (str(bpffs / "pass"), ObjectKind.PROGRAM, program.id) in pins
    assert (str(bpffs / "runs"), ObjectKind.MAP, runs.id) in pins


class Buffer(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_uint32),
        ("pkt_type", ctypes.c_uint32),
        ("mark", ctypes.c_uint32),
        ("unused", ctypes.c_uint32 * 5),
        ("priority", ctypes.c_uint32),
        ("rest", ctypes.c_uint32 * 39),
    ]


def test_contexts_may_be_ctypes_objects(app: Collection) -> None:
    result = app.programs["mark"].test_run(bytearray(PACKET), ctx=Buffer(priority=41))
    assert Buffer.from_buffer_copy(result.context.ljust(ctypes.sizeof(Buffer), b"\0")).mark == 42


def test_a_context_comes_out_where_none_went_in(app: Collection) -> None:
    result = app.programs["mark"].test_run(PACKET, ctx_size_out=192)
    assert struct.unpack_from("=I", result.context, 8) == (1,)


def test_a_raw_tracepoint_runs_on_a_cpu(app: Collection) -> None:
    cpu = max(os.sched_getaffinity(0))
    assert app.programs["where"].test_run(cpu=cpu).retval == cpu
    with pytest.raises(KernelError, match="running the program failed"):
        app.programs["where"].test_run(cpu=100_000)


def test_a_program_is_attached_as_its_section_says(app: Collection) -> None:
    with app.programs["where"].attach() as link:
        assert link.is_open
        assert link.id in [info.id for info in list_links()]
    assert not link.is_open


def test_live_frames(app: Collection) -> None:
    result = app.programs["pass"].test_run(PACKET, repeat=100, flags=TestRunFlag.XDP_LIVE_FRAMES, batch_size=10)
    assert result.data == b""
    assert app.maps["runs"][0] == 100


def test_flags_that_the_type_does_not_have(app: Collection) -> None:
    with pytest.raises(KernelError, match="does not run a program of this type with these flags"):
        app.programs["pass"].test_run(PACKET, flags=TestRunFlag.SKB_CHECKSUM_COMPLETE)


def test_what_a_program_prints(app: Collection, compile_c: Callable[..., str]) -> None:
    source = r"""
    extern int bpf_stream_vprintk_impl(int stream, const char *text, const void *args, __u32 size, void *aux)
        __ksym;
    SEC("syscall") int hello(void *ctx)
    {
        static const char format[] = "hello %d\n";
        __u64 args[] = { 42 };
        return bpf_stream_vprintk_impl(1, format, args, sizeof(args), 0);
    }
    """
    if not what_is_wrong(kernel_type("bpf_stream_vprintk")):  # since Linux 7.0 the kernel itself adds the last one
        source = source.replace("_impl", "").replace(", void *aux", "").replace(", 0);", ");")
    try:
        assert app.programs["pass"].stderr() == b""
    except KernelError as error:
        if error.cause != "this kernel's programs have no output to be read":
            raise
        pytest.skip(str(error))
    try:
        printing = load(compile_c(source, "-g", name="print"))
    except BpfasError as error:
        pytest.skip(f"needs a kernel whose programs print to streams (6.17 and later): {error}")
    with printing:
        hello = printing.programs["hello"]
        if hello.test_run().retval:
            pytest.skip("needs a kernel that finds memory for streams (bpf_stream_vprintk gives an error)")
        hello.test_run()
        assert hello.stdout() == b"hello 42\nhello 42\n"
        assert hello.stdout() == b""


def test_long_output_comes_in_pieces(app: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = {1: [b"ab", b"c", b""], 2: [b""]}
    monkeypatch.setattr(syscall, "prog_stream_read", lambda _fd, number, _size: pieces[number].pop(0))
    assert (app.programs["pass"].stdout(), app.programs["pass"].stderr()) == (b"abc", b"")


def test_descriptors_that_have_run_out(compile_c: Callable[..., str]) -> None:
    path = compile_c('SEC("xdp") int pass(void *ctx) { return 2; }')
    image = open_image(path)
    load(image).close()  # what is kept open once is open
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    causes = set()
    for most in range(max(int(number) for number in os.listdir("/proc/self/fd")) + 4):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
        try:
            load(image).close()
        except KernelError as error:
            causes.add((error.step, error.cause))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (Step.LOAD_PROGRAM, "the process has too many open files") in causes
    assert {cause for _, cause in causes} == {"the process has too many open files"}


def test_a_dropped_collection_closes_its_descriptors(compile_c: Callable[..., str]) -> None:
    source = 'int number = 1; SEC("xdp") int pass(void *ctx) { return number; }'
    program = load(compile_c(source, "-g", name="dropped")).programs["pass"]
    assert program.test_run(PACKET).retval == 1
    gc.collect()
    del program


def test_a_closed_program_says_so(app: Collection) -> None:
    program = app.programs["pass"]
    program.close()
    operations: list[Callable[[], object]] = [program.info, program.map_ids, lambda: program.test_run(PACKET)]
    if not what_is_wrong(Need.STREAMS):
        operations.append(program.stdout)
    for operation in operations:
        with pytest.raises(KernelError, match="EBADF"):
            operation()
    with pytest.raises(AttachError, match="EBADF: the program is closed"):
        program.attach(interface="lo")
