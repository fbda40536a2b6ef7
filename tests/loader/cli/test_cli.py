"""The command bpf-load."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.writer import write_object
from bpfas.loader.cli import main
from tests.btf.builders import Types
from tests.loader.builders import PASS, code, data, function, insn, obj, variable, words
from tests.loader.conftest import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKET = "ff" * 64
kernel = pytest.mark.kernel


@pytest.fixture
def app(tmp_path: Path) -> str:
    """An object with one program, a hash map and read-only data."""
    xdp, maps = code("xdp", PASS), data("maps", words(1, 4, 8, 16))
    parts = (xdp, maps, data(".rodata", b"abcd"), function("prog", xdp), variable("counts", maps))
    path = tmp_path / "app.o"
    path.write_bytes(write_object(obj(*parts)))
    return str(path)


@pytest.fixture
def two(tmp_path: Path) -> str:
    """An object with two programs, of which the second returns 7."""
    xdp = code("xdp", PASS, insn("mov_imm", imm=7), insn("exit"))
    path = tmp_path / "two.o"
    path.write_bytes(write_object(obj(xdp, function("a", xdp), function("b", xdp, 16))))
    return str(path)


@kernel
def test_an_object_alone_is_loaded_and_reported(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = open_descriptors()
    assert main([app]) == 0
    programs, maps = capsys.readouterr().out.split("\n\n")
    assert programs.splitlines()[0].split() == [
        "PROGRAM", "TYPE", "SECTION", "TAG", "INSTRUCTIONS", "VERIFIED", "XLATED", "JITED"
    ]  # fmt: skip
    assert programs.splitlines()[1].split()[:3] == ["prog", "xdp", "xdp"]
    assert [line.split() for line in maps.splitlines()] == [
        ["MAP", "TYPE", "KEY", "VALUE", "ENTRIES", "FLAGS"],
        ["counts", "hash", "4", "8", "16", "-"],
        [".rodata", "array", "4", "4", "1", "rdonly_prog"],
    ]
    assert open_descriptors() == before


@kernel
def test_load_may_be_said(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", app]) == 0
    assert "prog" in capsys.readouterr().out


@kernel
def test_json(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", app]) == 0
    report = json.loads(capsys.readouterr().out)
    (program,) = report["programs"]
    assert (program["name"], program["type"], program["instructions"]) == ("prog", "xdp", 2)
    assert program["verified_instructions"] == 2
    assert len(program["tag"]) == 16
    assert [spec["name"] for spec in report["maps"]] == ["counts", ".rodata"]
    assert report["maps"][1]["flags"] == ["rdonly_prog"]


@kernel
def test_run_reports_the_action(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", app, "--data-in", f"hex:{PACKET}", "--repeat", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("prog returned 2 (XDP_PASS)\n")
    assert "packet of 64 bytes:\n  ff ff" in out


@kernel
def test_run_reads_and_writes_files(app: str, tmp_path: Path) -> None:
    given, taken = tmp_path / "in", tmp_path / "out"
    given.write_bytes(bytes(range(64)))
    assert main(["run", app, "prog", "--data-in", str(given), "--data-out", str(taken)]) == 0
    assert taken.read_bytes() == bytes(range(64))


@kernel
def test_run_writes_the_packet_alone_to_standard_output(
    app: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["run", app, "--data-in", f"hex:{PACKET}", "--data-out", "-"]) == 0
    captured = capfdbinary.readouterr()
    assert captured.out == bytes.fromhex(PACKET)
    assert b"returned 2" in captured.err


@kernel
def test_run_dumps_maps(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", app, "--data-in", f"hex:{PACKET}", "--dump-maps"]) == 0
    out = capsys.readouterr().out
    assert "counts (hash, key 4, value 8):\n  empty" in out
    assert ".rodata (array, key 4, value 4):\n  0: 61 62 63 64" in out


@kernel
def test_maps_that_cannot_be_listed_say_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xdp, maps = code("xdp", PASS), data("maps", words(22, 0, 8, 16))
    path = tmp_path / "queue.o"
    path.write_bytes(write_object(obj(xdp, maps, function("prog", xdp), variable("queue", maps))))
    arguments = ["run", str(path), "--data-in", f"hex:{PACKET}", "--dump-maps"]
    assert main(arguments) == 0
    assert "queue (queue, key 0, value 8):\n  " in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    (queue,) = json.loads(capsys.readouterr().out)["maps"]
    assert queue["error"].startswith("map queue: listing the keys failed with ")


@kernel
def test_run_as_json(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", app, "--json", "--data-in", f"hex:{PACKET}", "--dump-maps"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["program"], outcome["retval"], outcome["data"]) == ("prog", 2, PACKET)
    assert outcome["maps"][1] == {"name": ".rodata", "elements": [{"key": 0, "value": "61626364"}]}


@kernel
def test_run_wants_a_name_if_there_are_several(two: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", two, "--data-in", f"hex:{PACKET}"]) == 1
    assert "which program to run? The object has: a, b" in capsys.readouterr().err
    assert main(["run", two, "c", "--data-in", f"hex:{PACKET}"]) == 1
    assert "there is no program 'c'; the object has: a, b" in capsys.readouterr().err
    assert main(["run", two, "b", "--data-in", f"hex:{PACKET}"]) == 0
    assert "b returned 7\n" in capsys.readouterr().out


@kernel
def test_a_refused_program_shows_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xdp = code("xdp", insn("ldxw", dst=0, src=5), PASS)
    path = tmp_path / "bad.o"
    path.write_bytes(write_object(obj(xdp, function("prog", xdp))))
    assert main([str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bpf-load: error: program prog: loading the program failed with EACCES: ")
    assert "R5 !read_ok" in captured.err


@pytest.mark.parametrize("contents", [b"", b"not an object", b"\x7fELF" + bytes(100)])
def test_what_is_no_object_is_refused(contents: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.o"
    path.write_bytes(contents)
    assert main([str(path)]) == 1
    assert "error: " in capsys.readouterr().err


def test_a_missing_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/nonexistent/app.o"]) == 1
    assert "bpf-load: error: cannot read /nonexistent/app.o: No such file" in capsys.readouterr().err


def test_bytes_that_are_not_hexadecimal_are_refused(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", app, "--data-in", "hex:xyz"]) == 1
    assert "'hex:xyz' is not hexadecimal" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--nonsense"], ["run"], ["run", "x.o", "--repeat", "0"]])
def test_wrong_usage_is_status_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("bpf-load: error: ")
    assert error.endswith(" --help\n")


def test_help_fits_a_screen_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert len(out.splitlines()) <= 24


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("bpf-load (bpf-as) ")


@kernel
@pytest.mark.peer
def test_types_of_a_file_are_what_core_relocations_are_resolved_by(
    compile_c: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = compile_c(
        "struct task_struct { int pid; } __attribute__((preserve_access_index));"
        'SEC("socket") int prog(void *ctx) { return __builtin_preserve_field_info('
        "((struct task_struct *)0)->pid, 0); }",
        "-g",
    )
    types = Types()
    number = types.integer("int", 4)
    types.struct("task_struct", 128, [("pid", number, 8 * 100)])
    (tmp_path / "kernel.btf").write_bytes(types.data())
    arguments = [app, "--btf", str(tmp_path / "kernel.btf")]
    assert main(["run", *arguments, "--data-in", f"hex:{PACKET}"]) == 0
    assert "prog returned 100\n" in capsys.readouterr().out
    assert main(["--dry-run", *arguments]) == 0
    captured = capsys.readouterr()
    assert "r0 = 100" in captured.out
    assert "kernel.btf: warning: these types do not tell how old the kernel is" in captured.err
    assert main(["--dry-run", *arguments, "--release", "5.10"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*arguments, "--release", "6.1"]) == 1
    assert "describe a kernel for --dry-run" in capsys.readouterr().err


@pytest.fixture
def configured(compile_c: Callable[..., str]) -> str:
    """An object with variables of compound types and a map."""
    return compile_c(
        "struct limits { int low, high; union { int of; unsigned char as[4]; }; struct { int x; } each[2]; };"
        "struct limits limits = {2, 3, {4}, {{5}, {6}}}; int sizes[3] = {1, 2, 3}; char name[4];"
        "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, int); __type(value, int); }"
        ' counts SEC(".maps");'
        'SEC("socket") int prog(void *ctx) { bpf_map_lookup_elem(&counts, name); return limits.low + sizes[0]; }',
        "-g",
    )


@pytest.mark.peer
@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("limits.low=7", {"limits": {"low": 7, "high": 3, "of": 4, "each": [{"x": 5}, {"x": 6}]}}),
        ("limits.as[1]=7", {"limits": {"low": 2, "high": 3, "of": 0x704, "each": [{"x": 5}, {"x": 6}]}}),
        ("limits.each[1].x=7", {"limits": {"low": 2, "high": 3, "of": 4, "each": [{"x": 5}, {"x": 7}]}}),
        (".data:sizes[2]=7", {"sizes": [1, 2, 7]}),
        ("sizes[2]=7", {"sizes": [1, 2, 7]}),
    ],
)
@kernel
def test_a_part_of_a_variable_is_set(
    place: str, values: dict[str, object], configured: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", configured, "--data-in", f"hex:{PACKET}", "--set", place, "--dump-maps", "--json"]) == 0
    (data,) = [each for each in json.loads(capsys.readouterr().out)["maps"] if each["name"] == ".data"]
    (element,) = data["elements"]
    for name, value in values.items():
        found = element["value"][name]
        assert found == value or {key: found[key] for key in found if key != "as"} == value


@pytest.mark.peer
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("limits.lou=7", "'limits' has no member 'lou'\n>>> did you mean low?"),
        ("limits.of.x=7", "'limits.of' is no struct or union with members: it is 4"),
        ("sizes[3]=7", "'sizes' has 3 elements, from [0] on: there is no [3]"),
        ("sizes.x=7", "'sizes' is no struct or union"),
        ("limits[0]=7", "'limits' is no array with elements"),
        ("limit.low=7", "there is no variable 'limit.low'"),
        ("limits.low=x", "low"),
    ],
)
def test_a_part_that_there_is_not(
    place: str, message: str, configured: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([configured, "--set", place]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.peer
@kernel
def test_flags_of_maps_have_names(configured: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([configured, "--json", "--map", "counts.map_flags=BPF_F_NO_PREALLOC|zero_seed"]) == 0
    flags = {each["name"]: each["flags"] for each in json.loads(capsys.readouterr().out)["maps"]}
    assert flags["counts"] == ["no_prealloc", "zero_seed"]
    assert main([configured, "--map", "counts.map_flags=no_prelloc"]) == 1
    assert "there is no flag 'no_prelloc'; there are no_prealloc, " in capsys.readouterr().err


@pytest.mark.peer
@kernel
def test_a_map_that_stays_pinned_is_told(
    compile_c: Callable[..., str], bpffs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = compile_c(
        "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, int); __type(value, int);"
        ' __uint(pinning, LIBBPF_PIN_BY_NAME); } shared SEC(".maps");',
        "-g",
    )
    assert main([app, "--pin-root", str(bpffs)]) == 0
    assert capsys.readouterr().err == f"bpf-load: note: map shared is pinned at {bpffs}/shared, and stays there\n"
    assert (bpffs / "shared").exists()


def test_a_mistyped_command_is_no_file(
    app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lod", app]) == 1
    message = "bpf-load: error: 'lod' is neither a command nor a file\n>>> did you mean load?\n"
    assert capsys.readouterr().err == message
    (tmp_path / "lod").write_bytes(b"no object")
    assert main(["lod"]) == 1
    assert "did you mean" not in capsys.readouterr().err


def test_a_release_that_is_none(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry-run", app, "--release", "banana"]) == 1
    assert "'banana' is no release" in capsys.readouterr().err


@kernel
def test_a_directory_is_unpinned_from_within(
    app: str, bpffs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["pin", app, str(bpffs / "app")]) == 0
    capsys.readouterr()
    monkeypatch.chdir(bpffs / "app")
    assert main(["unpin", "."]) == 0
    assert not (bpffs / "app").exists()


def test_a_dry_run_says_of_attach_types_only_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for section, expected in (("raw_tp/sys_enter", None), ("cgroup_skb/ingress", "cgroup_inet_ingress")):
        part = code(section, PASS)
        (tmp_path / "app.o").write_bytes(write_object(obj(part, function("prog", part))))
        assert main(["--dry-run", "--json", "--release", "6.12", str(tmp_path / "app.o")]) == 0
        (program,) = json.loads(capsys.readouterr().out)["programs"]
        assert program["expected_attach_type"] == expected


@pytest.mark.peer
def test_types_that_the_kernel_lacks_are_told_once(
    compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    app = compile_c(
        "struct task_struct { int pid, tgid; } __attribute__((preserve_access_index));"
        'SEC("socket") int prog(void *ctx) { struct task_struct *task = 0;'
        "return __builtin_preserve_field_info(task->pid, 0) + __builtin_preserve_field_info(task->tgid, 0); }",
        "-g",
    )
    assert main(["--dry-run", "--release", "5.4", app]) == 1
    error = capsys.readouterr().err
    assert error.count("CO-RE relocations need the types of the kernel") == 1
    assert "and of 1 more" in error


def test_too_many_open_files_are_no_output(
    app: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("bpfas.loader.cli.common.read_object", refuse)
    assert main([app]) == 1
    assert capsys.readouterr().err == "bpf-load: error: too many files are open\n>>> raise the limit: ulimit -n\n"
