"""C programs in the running kernel: maps in all forms, pins, slots, and what is told when something fails."""

from __future__ import annotations

import asyncio
import errno
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

import bpfas
from bpfas import BpfasError, LoadError, VerifierError
from bpfas.asm import Options
from bpfas.loader import syscall
from bpfas.loader.cli import main
from bpfas.loader.image.variables import UnknownNameError
from bpfas.loader.kernel.features import Feature
from bpfas.loader.kernel.running import RunningKernel, possible_cpu_count
from bpfas.loader.kernel.version import kernel_version, running_version
from bpfas.loader.kinds import MapType, ProgramType
from bpfas.loader.spec import Pinning
from tests.loader.conftest import open_descriptors
from tests.loader.kernel_support import program_type, what_is_wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.loader import Collection

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

COUNTING = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, long); }
    counts SEC(".maps");
const volatile int step = 3;
int total;
__attribute__((noinline)) int twice(int x) { return x * 2; }
SEC("xdp") int count(struct xdp_md *ctx)
{
    int key = 1;
    long value = twice(step);
    total += value;
    bpf_map_update_elem(&counts, &key, &value, 0);
    return XDP_PASS;
}
"""


@pytest.fixture
def bpf_file_system(tmp_path: Path) -> Iterator[Path]:
    """A directory of a BPF file system of its own."""
    directory = tmp_path / "bpffs"
    directory.mkdir()
    subprocess.run(["/bin/mount", "-t", "bpf", "bpffs", directory], check=True)
    yield directory
    subprocess.run(["/bin/umount", directory], check=True)


def test_maps_of_types_and_global_data(compile_c: Callable[..., str]) -> None:
    with bpfas.load(compile_c(COUNTING, "-g")) as app:
        app.programs["count"].test_run(bytes(64))
        assert app.maps["counts"].raw[struct.pack("=i", 1)] == struct.pack("=q", 6)
        info = syscall.map_info(app.maps["counts"].fd)
        assert info.key_type
        assert info.value_type
        assert not app.warnings


def test_names_that_there_are_not(compile_c: Callable[..., str]) -> None:
    with bpfas.load(compile_c(COUNTING, "-g")) as app:
        assert app.maps["app.rodata"] is app.maps[".rodata"]
        assert list(app.maps) == ["counts", ".rodata", ".bss"]
        with pytest.raises(UnknownNameError, match="there is no map 'count'\n>>> did you mean 'counts'"):
            app.maps["count"]
        with pytest.raises(UnknownNameError, match="there is no program 'prog'\n>>> there are: count"):
            app.programs["prog"]
        with pytest.raises(KeyError):
            app.programs["prog"]
        with pytest.raises(UnknownNameError, match="there is no map 'ops'"):
            app.attach_struct_ops("ops")


def test_what_the_image_warns_of_is_told(compile_c: Callable[..., str]) -> None:
    source = """
    const char *volatile names[] = {"a", "b"};
    SEC("socket") int prog(void *ctx) { return !names[0]; }
    """
    with bpfas.load(compile_c(source, "-g")) as app:
        (warning,) = app.warnings
        assert "section '.data' holds the address of '.rodata.str1.1' and 1 more address" in warning.message


@pytest.mark.parametrize(("version", "given"), [("", running_version()), ('int v SEC("version") = 77;', 77)])
def test_programs_are_of_a_version(
    compile_c: Callable[..., str], monkeypatch: pytest.MonkeyPatch, version: str, given: int
) -> None:
    real, versions = syscall.prog_load, []

    def noting(load: syscall.ProgramLoad, log: syscall.LogBuffer | None = None) -> int:
        versions.append(load.kernel_version)
        return real(load, log)

    path = compile_c(COUNTING + version, "-g")
    monkeypatch.setattr("bpfas.loader.syscall.prog_load", noting)
    bpfas.load(path).close()
    assert versions == [given]


def test_functions_are_known_by_name(compile_c: Callable[..., str]) -> None:
    with bpfas.load(compile_c(COUNTING, "-g")) as app:
        assert syscall.prog_info(app.programs["count"].fd).btf_id


def test_an_object_in_memory(compile_c: Callable[..., str]) -> None:
    with open(compile_c(COUNTING, "-g"), "rb") as file, bpfas.load(file.read(), name="counter.o") as app:
        assert syscall.map_info(app.maps[".bss"].fd).name == "counter.bss"


class TestPins:
    """Maps that processes share by name."""

    SOURCE = """
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, int); __type(value, int);
             __uint(pinning, LIBBPF_PIN_BY_NAME); } shared SEC(".maps");
    SEC("socket") int prog(void *ctx) { int key = 0; return !bpf_map_lookup_elem(&shared, &key); }
    """

    def test_a_map_is_pinned_and_found_again(self, compile_c: Callable[..., str], bpf_file_system: Path) -> None:
        path = compile_c(self.SOURCE, "-g")
        with bpfas.load(path, pin_root=bpf_file_system) as first:
            first.maps["shared"].raw[bytes(4)] = b"abcd"
            with bpfas.load(path, pin_root=bpf_file_system) as second:
                assert second.maps["shared"].raw[bytes(4)] == b"abcd"
                assert second.maps["shared"].id == first.maps["shared"].id
        assert (bpf_file_system / "shared").exists()

    def test_every_difference_is_told(self, compile_c: Callable[..., str], bpf_file_system: Path) -> None:
        bpfas.load(compile_c(self.SOURCE, "-g"), pin_root=bpf_file_system).close()
        other = compile_c(
            self.SOURCE.replace("entries, 4", "entries, 8").replace("value, int", "value, long"), "-g"
        )
        with pytest.raises(LoadError) as caught:
            bpfas.load(other, pin_root=bpf_file_system)
        assert "its value size is 4, not 8; its max entries is 4, not 8" in caught.value.cause
        assert f"rm {bpf_file_system}/shared" in caught.value.remedy

    def test_what_is_pinned_may_be_no_map(self, compile_c: Callable[..., str], bpf_file_system: Path) -> None:
        with bpfas.load(compile_c(COUNTING, "-g")) as app:
            syscall.obj_pin(str(bpf_file_system / "shared"), app.programs["count"].fd)
        with pytest.raises(LoadError, match="it is bpf-prog, no map"):
            bpfas.load(compile_c(self.SOURCE, "-g"), pin_root=bpf_file_system)

    def test_another_process_may_be_faster(
        self, compile_c: Callable[..., str], bpf_file_system: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, real, calls = compile_c(self.SOURCE, "-g"), syscall.obj_get, []
        with bpfas.load(path, pin_root=bpf_file_system) as first:

            def late(pin: str) -> int:
                calls.append(pin)
                if len(calls) == 1:
                    raise FileNotFoundError(errno.ENOENT, "not yet")
                return real(pin)

            monkeypatch.setattr("bpfas.loader.syscall.obj_get", late)
            with bpfas.load(path, pin_root=bpf_file_system) as second:
                assert second.maps["shared"].id == first.maps["shared"].id

    def test_what_another_process_has_pinned_meanwhile_may_be_unlike(
        self, compile_c: Callable[..., str], bpf_file_system: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bpfas.load(compile_c(self.SOURCE, "-g"), pin_root=bpf_file_system).close()
        other, real, calls = compile_c(self.SOURCE.replace("entries, 4", "entries, 8"), "-g"), syscall.obj_get, []

        def late(pin: str) -> int:
            calls.append(pin)
            if len(calls) == 1:
                raise FileNotFoundError(errno.ENOENT, "not yet")
            return real(pin)

        monkeypatch.setattr("bpfas.loader.syscall.obj_get", late)
        with pytest.raises(LoadError, match="its max entries is 4, not 8"):
            bpfas.load(other, pin_root=bpf_file_system)

    def test_a_failure_takes_new_pins_away(self, compile_c: Callable[..., str], bpf_file_system: Path) -> None:
        source = self.SOURCE.replace("key = 0", "key = bpf_get_prandom_u32()").replace("!bpf", "*(int *)bpf")
        refused = compile_c(source, "-g", name="refused")
        with pytest.raises(VerifierError):
            bpfas.load(refused, pin_root=bpf_file_system)
        assert not (bpf_file_system / "shared").exists()
        bpfas.load(compile_c(self.SOURCE, "-g"), pin_root=bpf_file_system).close()
        with pytest.raises(VerifierError):
            bpfas.load(refused, pin_root=bpf_file_system)
        assert (bpf_file_system / "shared").exists(), "a pin that was there before stays"

    def test_what_a_pinned_map_holds_stays(self, compile_c: Callable[..., str], bpf_file_system: Path) -> None:
        source = """
        struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
                       __type(value, int); } first SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 1); __uint(key_size, 4);
                 __uint(pinning, LIBBPF_PIN_BY_NAME); __array(values, struct inner); }
            outer SEC(".maps") = { .values = { &first } };
        """
        path = compile_c(source, "-g")
        with bpfas.load(path, pin_root=bpf_file_system) as first:
            held = first.maps["first"].id
        with bpfas.load(path, pin_root=bpf_file_system) as second:
            assert second.maps["outer"].raw[bytes(4)] == struct.pack("=I", held)

    def test_a_map_of_a_library_is_pinned_like_any(
        self, compile_c: Callable[..., str], bpf_file_system: Path
    ) -> None:
        shared = self.SOURCE.replace('SEC("socket") int prog(void *ctx)', "int touch(void)")
        library = compile_c(shared, "-g", name="lib")
        app = compile_c('int touch(void); SEC("socket") int prog(void *ctx) { return touch(); }', "-g")
        with bpfas.load(app, [library], pin_root=bpf_file_system) as loaded:
            assert list(loaded.maps) == ["lib:shared"]
        assert (bpf_file_system / "shared").exists()

    def test_the_directories_of_a_definition(self, compile_c: Callable[..., str], bpf_file_system: Path) -> None:
        image = bpfas.open_image(compile_c(self.SOURCE, "-g"))
        image.set_map("shared", pin_path=bpf_file_system / "tc" / "globals" / "shared")
        bpfas.load(image).close()
        assert (bpf_file_system / "tc" / "globals" / "shared").exists()

    def test_a_place_that_is_no_bpf_file_system(self, compile_c: Callable[..., str], tmp_path: Path) -> None:
        with pytest.raises(LoadError) as caught:
            bpfas.load(compile_c(self.SOURCE, "-g"), pin_root=tmp_path / "new")
        assert "no BPF file system is mounted there" in caught.value.cause
        assert not (tmp_path / "new").exists()
        with pytest.raises(LoadError) as caught:
            bpfas.load(compile_c(self.SOURCE, "-g"), pin_root=tmp_path / "new" / "deeper" / "still")
        assert "no BPF file system is mounted there" in caught.value.cause
        assert "nsenter --net" in caught.value.remedy

    def test_all_of_a_collection(self, compile_c: Callable[..., str], bpf_file_system: Path) -> None:
        with bpfas.load(compile_c(COUNTING, "-g")) as app:
            app.pin(bpf_file_system / "app")
            names = {each.name for each in (bpf_file_system / "app").iterdir()}
            assert names == {"count", "counts", "_rodata", "_bss"}
            app.unpin(bpf_file_system / "app")
            assert not list((bpf_file_system / "app").iterdir())

    def test_a_collection_is_pinned_whole_or_not(
        self, compile_c: Callable[..., str], bpf_file_system: Path
    ) -> None:
        with bpfas.load(compile_c(COUNTING, "-g")) as app:
            (bpf_file_system / "app").mkdir()
            (bpf_file_system / "app" / "count").mkdir()
            with pytest.raises(bpfas.KernelError, match="EEXIST"):
                app.pin(bpf_file_system / "app")
            assert [each.name for each in (bpf_file_system / "app").iterdir()] == ["count"]
            (bpf_file_system / "app" / "count").rmdir()


def test_maps_in_maps_whatever_their_order(compile_c: Callable[..., str]) -> None:
    source = """
    struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, int);
    }; extern struct inner second;
    struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, int);
             __array(values, struct inner); } outer SEC(".maps") = { .values = { [1] = &second } };
    struct inner second SEC(".maps");
    SEC("socket") int prog(void *ctx)
    {
        int key = 1, zero = 0, *value;
        void *inner = bpf_map_lookup_elem(&outer, &key);
        if (!inner) return 1;
        value = bpf_map_lookup_elem(inner, &zero);
        return value ? *value : 2;
    }
    """
    with bpfas.load(compile_c(source, "-g")) as app:
        app.maps["second"].raw[bytes(4)] = struct.pack("=i", 77)
        assert app.programs["prog"].test_run(bytes(64)).retval == 77


def test_a_map_for_one_program_alone(compile_c: Callable[..., str]) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, int); __type(value, int); }
        own SEC(".maps");
    const volatile int step = 3;
    SEC("socket") int user(void *ctx) { int key = step; return !bpf_map_lookup_elem(&own, &key); }
    SEC("?socket") int other(void *ctx) { int key = 1; return !bpf_map_lookup_elem(&own, &key); }
    """
    if running_version() < kernel_version(6, 18):
        pytest.skip("this kernel has no exclusive maps (Linux 6.18)")
    image = bpfas.open_image(compile_c(source, "-g"))
    with pytest.raises(UnknownNameError, match="there is no program 'usr'"):
        image.set_map("own", exclusive_program="usr")
    image.set_map("own", exclusive_program="user")
    with bpfas.load(image) as app:
        app.maps["own"][1] = 5
    image.set_program("other", autoload=True)
    with pytest.raises(VerifierError, match="a map that it uses is for another program alone"):
        bpfas.load(image)
    image.set_program("user", autoload=False)
    with pytest.raises(BpfasError, match="map 'own' is exclusive to program 'user', which is not loaded"):
        bpfas.load(image)


def test_programs_in_maps(compile_c: Callable[..., str]) -> None:
    source = """
    int called(void *ctx);
    struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __uint(key_size, 4);
             __array(values, int(void *)); } calls SEC(".maps") = { .values = { [1] = (void *)&called } };
    SEC("socket") int called(void *ctx) { return 55; }
    SEC("socket") int prog(void *ctx) { bpf_tail_call(ctx, &calls, 1); return 1; }
    """
    path = compile_c(source, "-g")
    with bpfas.load(path) as app:
        assert app.programs["prog"].test_run(bytes(64)).retval == 55
    image = bpfas.open_image(path)
    image.programs["called"] = image.programs["called"]._replace(autoload=False)
    with bpfas.load(image) as app:
        assert app.programs["prog"].test_run(bytes(64)).retval == 1
        assert "map calls[1] stays empty: 'called' is not loaded" in str(app.warnings[0])


def test_ring_buffers_get_whole_pages(compile_c: Callable[..., str]) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 5000); } events SEC(".maps");
    struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); }
        each SEC(".maps");
    SEC("socket") int prog(void *ctx) { bpf_ringbuf_output(&events, "x", 1, 0); return 0; }
    """
    with bpfas.load(compile_c(source, "-g")) as app:
        assert app.maps["events"].max_entries == 8192
        assert app.maps["each"].max_entries == possible_cpu_count()


def test_a_ring_buffer_may_say_what_its_records_are(compile_c: Callable[..., str]) -> None:
    source = """
    struct event { int number; char name[4]; };
    struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); __type(value, struct event); }
        events SEC(".maps");
    SEC("socket") int prog(void *ctx)
    {
        struct event event = { 7, "abc" };
        return bpf_ringbuf_output(&events, &event, sizeof(event), 0);
    }
    """
    with bpfas.load(compile_c(source, "-g")) as app, app.maps["events"].events() as events:
        app.programs["prog"].test_run(bytes(64))
        (event,) = events.read()
        assert (event.number, event.name) == (7, "abc")


def test_a_map_that_is_not_created_is_named_when_a_program_needs_it(compile_c: Callable[..., str]) -> None:
    image = bpfas.open_image(compile_c(COUNTING, "-g"))
    image.maps["counts"] = image.maps["counts"]._replace(autocreate=False)
    with pytest.raises(VerifierError) as caught:
        bpfas.load(image)
    assert caught.value.cause == "the program uses map 'counts', which was not created"
    assert "invalid func unknown#2001000" in caught.value.log


@pytest.mark.parametrize("refused", [False, True])
def test_a_kernel_with_types_but_none_of_functions(
    compile_c: Callable[..., str], monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    # As those from 4.18 to 4.20, which refuse what they do not know before they look at the program.
    real, lacking = syscall.prog_load, {Feature.BTF_FUNC, Feature.EXPECTED_ATTACH_TYPE}

    def older(load: syscall.ProgramLoad, log: syscall.LogBuffer | None = None) -> int:
        if load.btf_fd or load.func_info or load.line_info or load.expected_attach_type:
            raise OSError(errno.E2BIG, "too big")
        return real(load, log)

    has = RunningKernel.has
    monkeypatch.setattr(RunningKernel, "has", lambda self, feature: feature not in lacking and has(self, feature))
    monkeypatch.setattr("bpfas.loader.syscall.prog_load", older)
    source = COUNTING.replace("&key, &value", "(void *)8, &value") if refused else COUNTING
    if refused:
        with pytest.raises(VerifierError, match="EACCES") as caught:
            bpfas.load(compile_c(source, "-g"))
        assert "R2 type=scalar expected=fp" in caught.value.log
    else:
        with bpfas.load(compile_c(source, "-g")) as app:
            assert not syscall.prog_info(app.programs["count"].fd).btf_id


def test_a_refusal_names_the_line_and_the_way(compile_c: Callable[..., str]) -> None:
    source = """
    const volatile int limit = 2;
    SEC("xdp") int prog(struct xdp_md *ctx)
    {
        char *data = (char *)(long)ctx->data;
        if (limit > 1)
            return data[3];
        return 1;
    }
    """
    with pytest.raises(VerifierError) as caught:
        bpfas.load(compile_c(source, "-g"))
    report = caught.value.report
    assert report.source is not None
    assert report.source.text == "return data[3];"
    assert any("if (limit > 1)" in step for step in report.path)
    assert "pkt" in report.registers["R1"]


def test_a_refusal_names_the_line_of_assembly(tmp_path: Path) -> None:
    source = tmp_path / "bad.s"
    source.write_text('.section xdp,"ax",@progbits\n.globl prog\nprog:\n    r0 = *(u32 *)(r2 + 0)\n    exit\n')
    obj = bpfas.assemble(source, options=Options(debug_version=4))
    with pytest.raises(VerifierError) as caught:
        bpfas.load(obj)
    assert str(caught.value.report.source).endswith("bad.s:4: r0 = *(u32 *)(r2 + 0)")
    assert (caught.value.program, caught.value.phase) == ("prog", "loading the program")


def test_a_log_of_what_is_taken(compile_c: Callable[..., str]) -> None:
    with bpfas.load(compile_c(COUNTING, "-g"), log_level=1) as app:
        assert "processed" in app.programs["count"].log


@pytest.mark.parametrize(
    "step", ["btf_load", "map_create", "map_update_elem", "map_freeze", "prog_load", "obj_pin"]
)
def test_whatever_fails_nothing_stays_open(
    compile_c: Callable[..., str], bpf_file_system: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    image = bpfas.open_image(compile_c(COUNTING, "-g"))
    image.maps["counts"] = image.maps["counts"]._replace(pinning=Pinning.BY_NAME)

    def fail(*_args: object, **_options: object) -> int:
        raise OSError(errno.ENOMEM, "no memory")

    before = open_descriptors()
    monkeypatch.setattr(f"bpfas.loader.syscall.{step}", fail)
    if step == "btf_load":
        with bpfas.load(image, pin_root=bpf_file_system) as app:
            assert "loading the object's BTF failed with ENOMEM" in str(app.warnings[0])
    else:
        with pytest.raises(LoadError, match="ENOMEM"):
            bpfas.load(image, pin_root=bpf_file_system)
    assert open_descriptors() == before


def test_a_map_that_cannot_be_used_is_closed(
    compile_c: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise BpfasError.of("no such types")

    monkeypatch.setattr("bpfas.loader.loading.map_creation.Map", fail)
    with pytest.raises(BpfasError, match="no such types"):
        bpfas.load(compile_c(COUNTING, "-g"))


def test_a_token_wants_a_bpf_file_system(compile_c: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="creating a token"):
        bpfas.load(compile_c(COUNTING, "-g"), token=tmp_path)


def test_the_maps_of_all_types_that_need_no_types(compile_c: Callable[..., str]) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 4); __uint(key_size, 4);
             __uint(value_size, 8 * 16); } stacks SEC(".maps");
    struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, int); } queue SEC(".maps");
    struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, int); __type(value, int); }
        devices SEC(".maps");
    struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 4); __uint(map_flags, BPF_F_NO_PREALLOC);
             __uint(key_size, 8); __uint(value_size, 4); } routes SEC(".maps");
    """
    with bpfas.load(compile_c(source, "-g")) as app:
        assert {name: map_.type for name, map_ in app.maps.items()} == {
            "stacks": MapType.STACK_TRACE,
            "queue": MapType.QUEUE,
            "devices": MapType.DEVMAP,
            "routes": MapType.LPM_TRIE,
        }


class TestPinCommands:
    """bpf-load pin and unpin."""

    def test_everything_is_pinned_and_unpinned(
        self, compile_c: Callable[..., str], bpf_file_system: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        directory = bpf_file_system / "app"
        assert main(["pin", compile_c(COUNTING, "-g"), str(directory)]) == 0
        assert {each.name for each in directory.iterdir()} == {"count", "counts", "_rodata", "_bss"}
        assert main(["unpin", "--json", str(directory)]) == 0
        assert not directory.exists()
        assert str(directory / "count") in capsys.readouterr().out

    @pytest.mark.parametrize("is_directory", [True, False])
    def test_only_pins_are_unpinned(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, is_directory: bool
    ) -> None:
        file = tmp_path / "precious"
        file.write_text("kept")
        assert main(["unpin", str(tmp_path if is_directory else file)]) == 1
        assert file.read_text() == "kept"
        assert "not on a BPF file system" in capsys.readouterr().err


def test_a_dry_run_shows_what_would_be_loaded(
    compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--dry-run", "--release", "6.12.0", compile_c(COUNTING, "-g")]) == 0
    text = capsys.readouterr().out
    assert "map counts: hash, key 4, value 8, 16 entries" in text
    assert "program count: xdp (xdp)" in text
    assert "= map[counts]" in text
    assert "= map[.bss][0]+0" in text
    assert "call bpf_map_update_elem#2" in text
    assert "<twice>" in text
    assert "return XDP_PASS;" in text


def test_a_type_of_programs_that_the_kernel_lacks(compile_c: Callable[..., str]) -> None:
    if what_is_wrong(program_type(ProgramType.LIRC_MODE2)) == "":
        pytest.skip("this kernel has programs of that type")
    with pytest.raises(LoadError) as caught:
        bpfas.load(compile_c('SEC("lirc_mode2") int prog(void *ctx) { return 0; }', "-g"))
    assert caught.value.cause.startswith("this kernel has no programs of type lirc_mode2")
    assert "CONFIG_BPF_LIRC_MODE2" in caught.value.cause + caught.value.remedy


def test_the_log_of_refused_types_is_whole(monkeypatch: pytest.MonkeyPatch, compile_c: Callable[..., str]) -> None:
    """However long it is, and with the errno of the refusal."""
    monkeypatch.setattr("bpfas.loader.loading.btf_loading._FIRST_LOG_SIZE", 128)
    image = bpfas.open_image(compile_c(COUNTING, "-g"))
    assert image.kernel_btf is not None
    # The last word of the types is of the last type; what is in front of it is shown in the log.
    damaged = bytearray(image.kernel_btf)
    types_end = 24 + int.from_bytes(damaged[12:16], "little")
    damaged[types_end - 4 : types_end] = b"\xff\xff\xff\x7f"
    image.kernel_btf = bytes(damaged)
    with bpfas.load(image) as app:
        text = str(app.warnings[0])
    assert "failed with EINVAL" in text
    assert "magic: 0xeb9f" in text


def test_events_are_awaited(compile_c: Callable[..., str]) -> None:
    source = """
    struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); __type(value, int); } events
    SEC(".maps"); SEC("socket") int prog(void *ctx) { int x = 9; return bpf_ringbuf_output(&events, &x, sizeof(x),
    0); }
    """

    async def first(app: Collection) -> object:
        async for event in app.maps["events"]:
            return event
        return None

    with bpfas.load(compile_c(source, "-g")) as app:
        app.programs["prog"].test_run(bytes(64))
        assert asyncio.run(first(app)) == 9
