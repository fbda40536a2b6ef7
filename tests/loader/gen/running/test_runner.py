"""Running loader programs: what results, what it is given, and that failures leave nothing and say which step."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import HOST_ORDER, ByteOrder
from bpfas.loader import open_image, syscall
from bpfas.loader.errors import LoadError, Step, VerifierError
from bpfas.loader.gen import generate
from bpfas.loader.gen.loader_program import Scheme
from bpfas.loader.gen.running import descriptors
from bpfas.loader.gen.running.runner import run
from bpfas.loader.kinds import AttachType, MapType
from bpfas.loader.loading.execute import load_image
from bpfas.loader.loading.options import LoadOptions
from bpfas.loader.runtime.maps import Map
from tests.loader.conftest import open_descriptors
from tests.loader.kernel_support import kernel_type, map_type, needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bpfas.loader.loading.collection import Collection

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]

MAPS_AND_DATA = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, __u64); }
    counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 100); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); }
    perf SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __uint(key_size, 4);
    __array(values, int(void *)); } jumps SEC(".maps") = { .values = { [2] = (void *)&tail } };
int threshold = 7;
const volatile int limit = 3;
int hits;
extern int LINUX_KERNEL_VERSION __kconfig;
SEC("xdp") int tail(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int prog(struct xdp_md *ctx) {
    __u32 key = 1; __u64 value = threshold * limit;
    hits++;
    bpf_map_update_elem(&counts, &key, &value, 0);
    if (LINUX_KERNEL_VERSION > 0) bpf_tail_call(ctx, &jumps, 2);
    return XDP_PASS;
}
SEC("?xdp") int unused(struct xdp_md *ctx) { return XDP_PASS; }
"""
DECLARED = "int tail(struct xdp_md *ctx);\n"


@pytest.fixture
def app(compile_c: Callable[..., str]) -> str:
    return compile_c(DECLARED + MAPS_AND_DATA, "-g")


def facts(collection: Collection) -> object:
    """What there is to compare of a loaded collection."""
    maps = {name: map_.info()._replace(id=0, btf_id=0) for name, map_ in collection.maps.items()}
    programs = {
        name: (program.type, program.info().xlated_size, program.info().name, program.instruction_count)
        for name, program in collection.programs.items()
    }
    return maps, programs, dict(collection.data), collection.name


def test_the_collection_is_the_same_as_that_of_direct_loading(app: str) -> None:
    image = open_image(app)
    with load_image(image) as direct, run(generate(image)) as generated:
        assert facts(generated) == facts(direct)
        for collection in (direct, generated):
            assert collection.programs["prog"].test_run(bytes(64)).retval == 1  # the tail's
            assert dict(collection.maps["counts"].items()) == {1: 21}
            assert collection.data["hits"] == 1
        assert list(generated.maps) == list(direct.maps)
        assert list(generated.programs) == ["tail", "prog"]


def test_values_and_sizes_can_be_given_when_the_program_runs(app: str) -> None:
    program = generate(open_image(app))
    with run(program, values={"threshold": 5, "limit": 4, "hits": 10}, max_entries={"counts": 99}) as collection:
        collection.programs["prog"].test_run(bytes(64))
        assert dict(collection.maps["counts"].items()) == {1: 20}
        assert collection.data["hits"] == 11
        assert collection.maps["counts"].info().max_entries == collection.maps["counts"].max_entries == 99
    # What is given is that run's alone.
    with run(program) as collection:
        assert collection.data["threshold"] == 7
        assert collection.maps["counts"].max_entries == 16


def test_what_is_given_to_what_there_is_not_is_refused(app: str) -> None:
    program = generate(open_image(app))
    with pytest.raises(BpfasError, match="threshhold"):
        run(program, values={"threshhold": 5})
    with pytest.raises(BpfasError, match="count"):
        run(program, max_entries={"count": 5})
    with pytest.raises(BpfasError, match="map 'counts' cannot be given 0 entries"):
        run(program, max_entries={"counts": 0})
    with pytest.raises(BpfasError, match="other types cannot be given"):
        run(program, LoadOptions(btf="/sys/kernel/btf/vmlinux"))
    with pytest.raises(BpfasError, match=r"(?s)program 'prgo', which there is not.*did you mean prog"):
        run(program, LoadOptions(target={"prgo": 1}))
    with pytest.raises(BpfasError, match="not made to be run by the right of a token"):
        run(program, LoadOptions(token="/sys/fs/bpf"))  # noqa: S106


def test_a_program_for_a_signature_takes_no_changes(app: str) -> None:
    program = generate(open_image(app))._replace(scheme=Scheme.INSTRUCTIONS_AND_DATA)
    with pytest.raises(BpfasError, match=r"cannot be changed: variable limit, max_entries of map counts"):
        run(program, values={"limit": 4}, max_entries={"counts": 99})
    with pytest.raises(BpfasError, match="kernel configuration cannot be given"):
        run(program, LoadOptions(kconfig="CONFIG_HZ=5"))


def test_a_program_of_the_other_byte_order_is_refused(app: str) -> None:
    other = ByteOrder.BIG if HOST_ORDER is ByteOrder.LITTLE else ByteOrder.LITTLE
    program = generate(open_image(app))._replace(byte_order=other)
    with pytest.raises(BpfasError, match=r"the loader program is (big|little)-endian, but this machine is"):
        run(program)


def test_kconfig_text_counts_before_the_kernel_and_the_runs_before_the_programs(
    compile_c: Callable[..., str],
) -> None:
    path = compile_c(
        "extern int CONFIG_HZ __kconfig; extern int CONFIG_NR_CPUS __kconfig;"
        'SEC("xdp") int prog(void *ctx) { return CONFIG_HZ * 1000 + CONFIG_NR_CPUS; }',
        "-g",
    )
    program = generate(open_image(path))._replace(kconfig="CONFIG_HZ=3\nCONFIG_NR_CPUS=7\n")
    with run(program, LoadOptions(kconfig="CONFIG_NR_CPUS=8")) as collection:
        assert collection.programs["prog"].test_run(bytes(64)).retval == 3008


def test_a_refusal_by_the_verifier_is_told_as_when_loading_directly(compile_c: Callable[..., str]) -> None:
    path = compile_c(
        'SEC("xdp") int good(void *ctx) { return 2; }'
        'SEC("xdp") int bad(struct xdp_md *ctx) { return *(int *)(long)ctx->data; }',
        "-g",
    )
    image = open_image(path)
    with pytest.raises(VerifierError) as direct:
        load_image(image)
    with pytest.raises(VerifierError) as generated:
        run(generate(image))
    assert generated.value.summary == direct.value.summary
    assert generated.value.log == direct.value.log
    assert generated.value.report == direct.value.report
    assert generated.value.remedy == direct.value.remedy
    assert "of the loader program: load program bad (BPF_PROG_LOAD)" in str(generated.value)


def test_a_long_log_is_whole(compile_c: Callable[..., str]) -> None:
    """A log that does not fit into the first buffer, of 1 MiB."""
    path = compile_c(
        'SEC("socket") int bad(struct __sk_buff *skb) { __u64 sum = 0;'
        "for (int round = 0; round < 3000; round++) { sum += bpf_get_prandom_u32() & 7; }"
        "return *(int *)(long)sum; }",
    )
    with pytest.raises(VerifierError) as caught:
        run(generate(open_image(path)))
    with pytest.raises(VerifierError) as direct:
        load_image(open_image(path))
    assert len(caught.value.log) > 1 << 20
    assert caught.value.log.splitlines()[:5] == direct.value.log.splitlines()[:5]
    assert caught.value.report.instruction == direct.value.report.instruction


def test_a_log_is_not_that_of_a_program_before(compile_c: Callable[..., str]) -> None:
    """The kernel says nothing of what it refuses before it verifies it."""
    path = compile_c(
        'SEC("xdp") int first(void *ctx) { return 2; }'
        'SEC("cgroup/sock_create") int second(void *ctx) { return 1; }',
        "-g",
    )
    image = open_image(path)
    image.set_program("second", expected_attach_type=AttachType.XDP)
    with pytest.raises(LoadError) as direct:
        load_image(image)
    with pytest.raises(LoadError) as generated:
        run(generate(image))
    assert type(generated.value) is type(direct.value) is LoadError
    assert generated.value.summary == direct.value.summary
    assert generated.value.log == ""


def test_a_map_that_the_kernel_refuses_is_told_with_its_step(compile_c: Callable[..., str]) -> None:
    path = compile_c(
        "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(key_size, 4); __uint(value_size, 4);"
        '__uint(max_entries, 1); } fine SEC(".maps");'
        "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(key_size, 8); __uint(value_size, 4);"
        '__uint(max_entries, 1); } wrong SEC(".maps");'
        'SEC("xdp") int prog(void *ctx) { return 2; }',
        "-g",
    )
    program = generate(open_image(path))
    with pytest.raises(LoadError) as caught:
        run(program)
    assert (caught.value.step, caught.value.errno, caught.value.subject) == (
        Step.CREATE_MAP,
        errno.EINVAL,
        "map wrong",
    )
    assert "key of 4 bytes" in caught.value.cause
    assert f"of {len(program.script.numbered_steps())} of the loader program: create map wrong" in str(
        caught.value
    )


def test_a_map_that_is_too_large(app: str) -> None:
    with pytest.raises(LoadError) as caught:
        run(generate(open_image(app)), max_entries={"counts": 0xFFFFFFFF})
    assert caught.value.step is Step.CREATE_MAP
    assert caught.value.subject == "map counts"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("tp_btf/sched_swich", r"no tracepoint 'sched_swich'.*did you mean sched_switch"),
        ("lsm/file_opem", r"no LSM hook 'file_opem'.*did you mean file_open"),
        ("fentry/vfs_statxx", r"no function 'vfs_statxx'.*did you mean vfs_statx"),
    ],
)
@needs(kernel_type("task_struct"))
def test_an_attach_target_that_the_kernel_lacks(compile_c: Callable[..., str], section: str, words: str) -> None:
    """It is said as by direct loading."""
    program = generate(open_image(compile_c(f'SEC("{section}") int prog(void *ctx) {{ return 0; }}')))
    with pytest.raises(LoadError, match=f"(?s){words}"):
        run(program)


@pytest.mark.parametrize(
    ("declaration", "use", "words"),
    [
        ("extern int bpf_no_such_kfunc(int) __ksym;", "bpf_no_such_kfunc(1)", "bpf_no_such_kfunc"),
        ("extern const int no_such_variable __ksym;", "no_such_variable", "no_such_variable"),
        ("extern const void no_such_symbol __ksym;", "(long)&no_such_symbol", "no_such_symbol"),
    ],
)
def test_a_name_that_the_kernel_lacks(
    compile_c: Callable[..., str], declaration: str, use: str, words: str
) -> None:
    path = compile_c(f'{declaration} SEC("syscall") int prog(void *ctx) {{ return {use}; }}', "-g")
    with pytest.raises(LoadError) as caught:
        run(generate(open_image(path)))
    assert caught.value.step is Step.FIND_NAME
    assert caught.value.errno_name == "ENOENT"
    assert words in caught.value.subject
    assert f"'{words}'" in caught.value.cause  # what direct loading says of it


def test_maps_pinned_by_name_are_shared_and_new_ones_pinned(compile_c: Callable[..., str], bpffs: Path) -> None:
    path = compile_c(
        "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, int);"
        '__uint(max_entries, 1); __uint(pinning, LIBBPF_PIN_BY_NAME); } shared SEC(".maps");'
        'SEC("xdp") int prog(void *ctx) { __u32 key = 0; int *v = bpf_map_lookup_elem(&shared, &key);'
        "return v ? ++*v : 0; }",
        "-g",
    )
    program, options = generate(open_image(path)), LoadOptions(pin_root=bpffs)
    with run(program, options) as first, run(program, options) as second:
        assert first.maps["shared"].id == second.maps["shared"].id
        assert first.programs["prog"].test_run(bytes(64)).retval == 1
        assert second.programs["prog"].test_run(bytes(64)).retval == 2
    with Map.from_pin(bpffs / "shared") as pinned:
        assert pinned[0] == 2
    other = open_image(path)
    other.set_map("shared", max_entries=5)
    with pytest.raises(LoadError, match="max entries is 1, not 5"):
        run(generate(other), options)


@needs(map_type(MapType.ARENA))
def test_an_arena_that_is_pinned_stays_as_it_is(compile_c: Callable[..., str], bpffs: Path) -> None:
    path = compile_c(
        "struct { __uint(type, 33); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 10);"
        " __uint(pinning, LIBBPF_PIN_BY_NAME); }"
        ' arena SEC(".maps");'
        "\n#define __arena __attribute__((address_space(1)))\n"
        'int __arena number SEC(".addr_space.1") = 7;'
        'SEC("syscall") int prog(void *ctx) { (void)&arena; return ++number; }',
        "-g",
        "-mcpu=v3",
    )
    program, options = generate(open_image(path)), LoadOptions(pin_root=bpffs)
    with run(program, options) as first:
        assert first.programs["prog"].test_run().retval == 8
        with run(program, options) as second:
            assert second.programs["prog"].test_run().retval == 9
        with load_image(open_image(path), options) as direct:
            # Loaded directly, the data is at the arena's end where the kernel lets it (Linux 7.0): zeros.
            result = 1 if direct.maps["arena"].spec.data_offset else 10
            assert direct.programs["prog"].test_run().retval == result


def test_a_pin_of_a_run_that_fails_is_taken_away(compile_c: Callable[..., str], bpffs: Path) -> None:
    image = open_image(
        compile_c(
            "struct map { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, int);"
            '__uint(max_entries, 1); }; struct map a SEC(".maps"); struct map b SEC(".maps");'
            'SEC("xdp") int prog(void *ctx) { return 2; }',
            "-g",
        )
    )
    image.set_map("a", pin_path=str(bpffs / "a"))
    image.set_map("b", pin_path="/proc/b")
    with pytest.raises(LoadError) as caught:
        run(generate(image))
    assert caught.value.step is Step.PIN
    assert list(bpffs.iterdir()) == []


@needs(map_type(MapType.ARENA))
def test_an_arena_lies_where_the_program_was_told(compile_c: Callable[..., str]) -> None:
    path = compile_c(
        "struct { __uint(type, 33); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 100); }"
        ' arena SEC(".maps");'
        "\n#define __arena __attribute__((address_space(1)))\n"
        'int __arena first SEC(".addr_space.1") = 40; int __arena second SEC(".addr_space.1") = 2;'
        'SEC("syscall") int prog(void *ctx) { (void)&arena; second++; return first + second; }',
        "-g",
    )
    program = generate(open_image(path))
    with run(program) as one, run(program, values={"first": 50}) as other:
        assert one.programs["prog"].test_run().retval == 43
        assert one.data["second"] == 3
        assert other.programs["prog"].test_run().retval == 53
        assert one.maps["arena"].memory.address != other.maps["arena"].memory.address
        for collection in (one, other):
            start = collection.maps["arena"].memory.address
            assert start >> 32 == (start + collection.maps["arena"].memory.size - 1) >> 32


STRUCT_OPS = """
struct tcp_congestion_ops___mine {
    int (*init)(void *sk); unsigned (*ssthresh)(void *sk); unsigned (*undo_cwnd)(void *sk);
    void (*cong_avoid)(void *sk, unsigned, unsigned); int (*not_in_this_kernel)(void *sk); char name[16];
};
SEC("struct_ops") unsigned long ssthresh(unsigned long long *ctx) { return 2; }
SEC("struct_ops") unsigned long undo(unsigned long long *ctx) { return 2; }
SEC("struct_ops") void cong_avoid(unsigned long long *ctx) { }
SEC("struct_ops") int unknown(unsigned long long *ctx) { return 0; }
SEC(".struct_ops") struct tcp_congestion_ops___mine mine = {
    .ssthresh = (void *)ssthresh, .undo_cwnd = (void *)undo, .cong_avoid = (void *)cong_avoid,
    .not_in_this_kernel = (void *)unknown, .name = "bpfas_gen",
};
"""


@needs(kernel_type("bpf_struct_ops_tcp_congestion_ops"))
def test_struct_ops_are_composed_for_the_running_kernel_and_attached(compile_c: Callable[..., str]) -> None:
    image = open_image(compile_c(STRUCT_OPS, "-g"))
    with load_image(image) as direct:
        expected = facts(direct)
    with run(generate(image)) as collection:
        assert facts(collection) == expected
        assert "unknown" not in collection.programs
        links = collection.attach()
        assert list(links) == ["mine"]
        with open("/proc/sys/net/ipv4/tcp_available_congestion_control") as available:
            assert "bpfas_gen" in available.read().split()


def test_an_extension_asks_for_its_target(compile_c: Callable[..., str]) -> None:
    path = compile_c('SEC("freplace/subprogram") int replacement(void *ctx) { return 7; }', "-g")
    with pytest.raises(
        BpfasError, match="program 'replacement' replaces function 'subprogram' of a loaded program"
    ):
        run(generate(open_image(path)))
    with pytest.raises(BpfasError, match="program 4294967295"):
        run(generate(open_image(path)), LoadOptions(target=0xFFFFFFFF))


def test_closed_standard_streams_do_not_become_maps(app: str, tmp_path: Path) -> None:
    """Descriptor 0 would be taken for none."""
    report = tmp_path / "report"
    code = f"""
import os
from bpfas.loader import open_image
from bpfas.loader.gen import generate
from bpfas.loader.gen.running.runner import run
program = generate(open_image({app!r}))
for fd in (0, 1, 2):
    os.close(fd)
with run(program) as collection:
    fds = [each.fd for each in (*collection.maps.values(), *collection.programs.values())]
left = [fd for fd in (0, 1, 2) if os.path.lexists(f"/proc/self/fd/{{fd}}")]
with open({str(report)!r}, "w") as file:
    file.write(f"{{min(fds) > 2}} {{left}}")
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert report.read_text() == "True []"


@pytest.mark.parametrize("proc", ["/proc/self/fdinfo", "/proc/self/none"], ids=["proc", "no proc"])
def test_a_description_that_does_not_fit_is_found_out(
    app: str, proc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes that are wrong would have the kernel write beyond a buffer."""
    monkeypatch.setattr(descriptors, "_DESCRIPTORS", proc)
    program = generate(open_image(app))
    run(program).close()
    spec = program.image.maps["counts"]._replace(value_size=4)
    program.image.maps["counts"] = spec
    with pytest.raises(LoadError, match="gave back something else: value_size 8; not value_size 4"):
        run(program)


def test_what_is_no_bpf_object_is_not_closed(tmp_path: Path) -> None:
    fd = syscall.map_create("map", MapType.ARRAY, 4, 4, 1)
    with (tmp_path / "file").open("w") as file:
        descriptors.close_all([0, -1, file.fileno(), fd, 1 << 20])
        file.write("still open")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(fd)


def test_maps_whose_entries_the_kernel_deals_out_to_cpus(compile_c: Callable[..., str]) -> None:
    path = compile_c(
        "struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 1001); __type(key, int);"
        ' __type(value, int); __uint(map_flags, BPF_F_NO_COMMON_LRU); } lru SEC(".maps");',
        "-g",
    )
    with load_image(open_image(path)) as direct, run(generate(open_image(path))) as generated:
        assert facts(generated) == facts(direct)


def test_descriptors_in_other_places_are_found_out(app: str) -> None:
    program = generate(open_image(app))
    first, second, *others = program.context.maps
    maps = (first._replace(offset=second.offset), second._replace(offset=first.offset), *others)
    with pytest.raises(LoadError, match="gave back something else"):
        run(program._replace(context=program.context._replace(maps=maps)))
    before = set(open_descriptors())
    maps = (first, second._replace(offset=first.offset), *others)
    with pytest.raises(LoadError, match="two of its descriptors are the same"):
        run(program._replace(context=program.context._replace(maps=maps)))
    # That of the second map is known to nobody.
    (left,) = set(open_descriptors()) - before
    os.close(int(left.split()[0]))


def test_the_verifiers_log_of_what_it_takes_can_be_had(app: str) -> None:
    with run(generate(open_image(app)), LoadOptions(log_level=1)) as collection:
        assert "processed" in collection.programs["prog"].log


def test_too_few_descriptors_leave_none(app: str) -> None:
    """Wherever the kernel runs out of descriptors, all that were opened are closed."""
    program = generate(open_image(app))
    before = open_descriptors()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    failures = 0
    for more in range(40):
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, limits[1]))
        try:
            run(program).close()
        except (LoadError, OSError) as error:
            failures += error.errno == errno.EMFILE
        else:
            break
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert open_descriptors() == before
    assert 8 < failures == more
