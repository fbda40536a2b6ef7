"""Objects of clang's loaded into the running kernel and run there."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.loader import KernelError, LoadError, VerifierError, load, syscall
from bpfas.loader.kinds import UpdateFlag
from tests.loader.builders import PASS, code, data, function, insn, obj, variable, words
from tests.loader.conftest import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]

PACKET = bytes(64)
ZERO_KEY = bytes(4)

MAIN = """\
struct map_definition SEC("maps") counts = {
    .type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 4
};
int hits = 3;
const volatile int limit = 7;
static int runs;
int table[4];
__attribute__((noinline)) int helper(int x) { return x + limit; }
static __attribute__((noinline)) int twice(int x) { return helper(x) * 2 + table[x & 3]; }
SEC("xdp") int first(struct xdp_md *ctx)
{
    int key = 42;
    __u64 value = 1, *old = bpf_map_lookup_elem(&counts, &key);
    if (old)
        __sync_fetch_and_add(old, 1);
    else
        bpf_map_update_elem(&counts, &key, &value, BPF_ANY);
    hits++;
    runs++;
    table[1] = 100;
    return twice(hits);
}
SEC("xdp") int second(struct xdp_md *ctx) { return twice(1); }
"""


@pytest.mark.peer
@pytest.mark.parametrize("flags", [(), ("-g",), ("-mcpu=v1",), ("-mcpu=v4",)])
def test_programs_maps_and_globals(compile_c: Callable[..., str], flags: tuple[str, ...]) -> None:
    source = MAIN.replace("__sync_fetch_and_add(old, 1)", "*old += 1")
    with load(compile_c(source, *flags)) as app:
        assert list(app.programs) == ["first", "second"]
        assert list(app.maps) == ["counts", ".data", ".rodata", ".bss"]
        result = app.programs["first"].test_run(PACKET, repeat=5)
        assert (result.retval, result.data) == ((8 + 7) * 2, PACKET)
        assert app.maps["counts"][struct.pack("=I", 42)] == struct.pack("=Q", 5)
        assert app.maps[".data"].raw[ZERO_KEY] == struct.pack("=i", 8)
        assert app.maps[".rodata"].raw[ZERO_KEY] == struct.pack("=i", 7)
        # The second program has its own copy of the functions, and the same data.
        assert app.programs["second"].test_run(PACKET).retval == (1 + 7) * 2 + 100


@pytest.mark.peer
def test_what_the_kernel_says_of_a_program(compile_c: Callable[..., str]) -> None:
    with load(compile_c(MAIN)) as app:
        info = app.programs["first"].info()
        assert len(info.tag) == 16
        assert info.xlated_size >= 8 * app.programs["first"].instruction_count
        assert info.verified_instructions > 0
        assert app.maps["counts"].id > 0


@pytest.mark.peer
def test_read_only_data_is_frozen(compile_c: Callable[..., str]) -> None:
    with load(compile_c(MAIN)) as app:
        with pytest.raises(KernelError, match=r"map \.rodata: updating .* EPERM: the map is frozen"):
            app.maps[".rodata"][ZERO_KEY] = bytes(4)
        app.maps[".data"][ZERO_KEY] = struct.pack("=i", 1000)
        assert app.programs["first"].test_run(PACKET).retval == (1001 + 7) * 2 + 100


@pytest.mark.peer
def test_many_programs(compile_c: Callable[..., str]) -> None:
    numbers = range(40)
    programs = "".join(f'SEC("xdp") int p{n}(struct xdp_md *c) {{ return helper({n}) + x; }}\n' for n in numbers)
    source = f"int x = 1000;\n__attribute__((noinline)) int helper(int n) {{ return n * x; }}\n{programs}"
    with load(compile_c(source)) as app:
        results = [app.programs[f"p{n}"].test_run(PACKET).retval for n in numbers]
    assert results == [n * 1000 + 1000 for n in numbers]


@pytest.mark.peer
def test_several_program_types(compile_c: Callable[..., str]) -> None:
    source = """
    SEC("tc") int cls(struct __sk_buff *skb) { return skb->len; }
    SEC("socket") int filter(struct __sk_buff *skb) { return 5; }
    SEC("cgroup/connect4") int connect(struct bpf_sock_addr *ctx) { return 1; }
    SEC("xdp/cpumap") int cpu(struct xdp_md *ctx) { return XDP_PASS; }
    SEC("raw_tp/sys_enter") int raw(struct bpf_raw_tracepoint_args *ctx) { return ctx->args[0]; }
    SEC("syscall") int call(int *ctx) { *ctx += 1; return 9; }
    SEC("?xdp") int not_loaded(struct xdp_md *ctx) { return 1; }
    """
    with load(compile_c(source)) as app:
        assert list(app.programs) == ["cls", "filter", "connect", "cpu", "raw", "call"]
        assert app.programs["cls"].test_run(PACKET).retval == 64
        result = app.programs["call"].test_run(ctx=struct.pack("=i", 41))
        assert (result.retval, result.context) == (9, struct.pack("=i", 42))
        assert app.programs["raw"].test_run(ctx=struct.pack("=Q", 7)).retval == 7
        with pytest.raises(KernelError, match="type syscall get no packet"):
            app.programs["call"].test_run(PACKET)
        with pytest.raises(KernelError, match="type syscall are run once"):
            app.programs["call"].test_run(repeat=2)
        with pytest.raises(KernelError, match="cannot test-run programs of this type"):
            app.programs["connect"].test_run(PACKET)


@pytest.mark.peer
def test_the_packet_and_the_context_that_come_out(compile_c: Callable[..., str]) -> None:
    source = """
    SEC("xdp") int shorten(struct xdp_md *ctx) { return bpf_xdp_adjust_tail(ctx, -16); }
    SEC("xdp") int lengthen(struct xdp_md *ctx) { return bpf_xdp_adjust_head(ctx, -32); }
    SEC("tc") int mark(struct __sk_buff *skb) { skb->mark = 77; return 0; }
    """
    with load(compile_c(source)) as app:
        assert len(app.programs["shorten"].test_run(PACKET).data) == 48
        assert len(app.programs["lengthen"].test_run(PACKET).data) == 96
        with pytest.raises(KernelError, match="has 96 bytes; there was room for 64"):
            app.programs["lengthen"].test_run(PACKET, data_size_out=64)
        context = bytes(192)
        assert app.programs["mark"].test_run(PACKET, ctx=context).context[8:12] == struct.pack("=I", 77)


@pytest.mark.peer
def test_a_packet_that_is_too_short_is_explained(compile_c: Callable[..., str]) -> None:
    with load(compile_c(MAIN)) as app, pytest.raises(KernelError) as caught:
        app.programs["first"].test_run(b"short")
    assert "a packet of at least 14 bytes (an Ethernet header); this one has 5" in caught.value.cause


@pytest.mark.peer
def test_a_packet_that_is_too_long_is_explained(compile_c: Callable[..., str]) -> None:
    with load(compile_c(MAIN)) as app, pytest.raises(KernelError, match="the packet is longer"):
        app.programs["first"].test_run(bytes(100_000))


@pytest.mark.peer
def test_a_context_that_the_kernel_refuses_is_explained(compile_c: Callable[..., str]) -> None:
    source = MAIN + 'SEC("raw_tp/x") int raw(struct bpf_raw_tracepoint_args *c) { return c->args[1]; }'
    with load(compile_c(source)) as app:
        with pytest.raises(KernelError, match="does not take this context of 5 bytes with a packet of 64"):
            app.programs["first"].test_run(PACKET, ctx=b"12345")
        with pytest.raises(KernelError, match="a program of type raw_tracepoint with a context of 8 bytes"):
            app.programs["raw"].test_run(ctx=bytes(8))


def test_a_file_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BpfasError, match="cannot read /nonexistent: No such file"):
        load("/nonexistent")


def test_maps_and_programs_say_what_they_are() -> None:
    xdp, rodata = code("xdp", PASS), data(".rodata", b"1234")
    with load(obj(xdp, rodata, function("prog", xdp))) as app:
        assert repr(app.maps[".rodata"]).startswith("<Map '.rodata': array, 1 entries, fd ")
        assert repr(app.programs["prog"]).startswith("<Program 'prog': xdp, fd ")


def test_a_repeat_count_out_of_range_is_refused() -> None:
    xdp = code("xdp", PASS)
    with load(obj(xdp, function("prog", xdp))) as app, pytest.raises(ValueError, match="repeat is 0"):
        app.programs["prog"].test_run(PACKET, repeat=0)


def test_the_verifiers_log_is_kept_whole() -> None:
    xdp = code("xdp", *[insn("mov_imm", dst=0, imm=index) for index in range(3)], insn("ldxw", dst=0, src=5), PASS)
    with pytest.raises(VerifierError) as caught:
        load(obj(xdp, function("prog", xdp)))
    error = caught.value
    assert (error.subject, error.errno_name) == ("program prog", "EACCES")
    assert error.summary.endswith("the verifier says: R5 !read_ok")
    assert all(f"(b7) r0 = {index}" in error.log for index in range(3))
    assert error.log.rstrip() in str(error)


def test_a_log_longer_than_the_first_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfas.loader.loading.program_loading.FIRST_LOG_SIZE", 128)
    xdp = code("xdp", insn("mov_imm", dst=0) * 2000, insn("ldxw", dst=0, src=5), PASS)
    with pytest.raises(VerifierError) as caught:
        load(obj(xdp, function("prog", xdp)))
    assert caught.value.errno_name == "EACCES"
    assert caught.value.log.startswith("0: R1=ctx(")
    assert "R5 !read_ok" in caught.value.log


def test_a_program_without_a_gpl_license_calling_a_gpl_helper() -> None:
    xdp = code("xdp", insn("mov_imm", dst=1), insn("mov_imm", dst=2), insn("call", imm=6), PASS)
    with pytest.raises(VerifierError, match="GPL") as caught:
        load(obj(xdp, function("prog", xdp), data("license", b"Proprietary\0")))
    assert caught.value.remedy.startswith("give the object a section `license` that says GPL")


def test_a_program_whose_type_and_attach_type_do_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    xdp = code("cgroup/connect4", PASS)
    source = obj(xdp, function("prog", xdp))
    real = syscall.prog_load

    def load_as_another(program: syscall.ProgramLoad, log: syscall.LogBuffer | None = None) -> int:
        return real(program._replace(expected_attach_type=1) if program.name == "prog" else program, log)

    monkeypatch.setattr("bpfas.loader.syscall.prog_load", load_as_another)
    with pytest.raises(LoadError) as caught:
        load(source)
    assert not isinstance(caught.value, VerifierError)
    assert "combination of program type, attach type and flags" in caught.value.cause


@pytest.mark.parametrize(("failures", "is_loaded"), [(4, True), (5, False)])
def test_eagain_is_tried_five_times(monkeypatch: pytest.MonkeyPatch, failures: int, *, is_loaded: bool) -> None:
    xdp = code("xdp", PASS)
    source = obj(xdp, function("prog", xdp))
    real, calls = syscall.prog_load, []

    def busy(program: syscall.ProgramLoad, log: syscall.LogBuffer | None = None) -> int:
        calls.append(log)
        # Both rounds, without and with a log, fail alike.
        if calls.count(log) <= failures:
            raise BlockingIOError(11, "busy")
        return real(program, log)

    monkeypatch.setattr("bpfas.loader.syscall.prog_load", busy)
    if is_loaded:
        load(source).close()
        assert len(calls) == 5
    else:
        with pytest.raises(LoadError, match="EAGAIN"):
            load(source)
        assert len(calls) == 10


def test_a_map_that_the_kernel_refuses() -> None:
    maps = data("maps", words(2, 8, 8, 16) + words(999, 4, 4, 1))
    with pytest.raises(LoadError) as caught:
        load(obj(maps, variable("keys_of_arrays_have_4_bytes", maps), variable("unknown", maps, 16)))
    assert caught.value.summary.startswith(
        "map keys_of_arrays_have_4_bytes: creating the map failed with EINVAL: "
    )


def test_nothing_is_left_open_when_a_later_step_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(12, "no memory")

    for step in ("map_update_elem", "map_freeze", "prog_load", "map_create"):
        xdp, rodata = code("xdp", PASS), data(".rodata", b"1234")
        source = obj(xdp, rodata, function("prog", xdp))
        before = open_descriptors()
        with monkeypatch.context() as patch:
            patch.setattr(f"bpfas.loader.syscall.{step}", fail)
            with pytest.raises(LoadError, match="ENOMEM"):
                load(source)
        assert open_descriptors() == before, step


def test_closing_closes_everything_and_may_be_repeated() -> None:
    xdp, rodata = code("xdp", PASS), data(".rodata", b"1234")
    before = open_descriptors()
    app = load(obj(xdp, rodata, function("prog", xdp)))
    assert len(open_descriptors()) == len(before) + 2
    app.close()
    app.close()
    assert open_descriptors() == before
    assert app.programs["prog"].fd == -1
    with pytest.raises(KernelError, match=r"EBADF: it is closed"):
        app.maps[".rodata"].lookup(ZERO_KEY)
    with pytest.raises(KernelError, match="EBADF"):
        app.programs["prog"].test_run(PACKET)


def test_an_object_with_maps_alone() -> None:
    maps = data("maps", words(1, 4, 4, 8))
    with load(obj(maps, variable("m", maps))) as app:
        app.maps["m"].update(b"aaaa", b"bbbb", UpdateFlag.NOEXIST)
        assert dict(app.maps["m"].items()) == {b"aaaa": b"bbbb"}
