"""`bpf-load gen`, and loader programs in files in place of objects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.reader import read_object
from bpfas.loader.cli import main
from bpfas.loader.gen.files.raw_file import is_raw, read_raw
from tests.loader.gen.running.test_runner import DECLARED, MAPS_AND_DATA
from tests.loader.kernel_support import kernel_type, needs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]
kernel = pytest.mark.kernel
PACKET = "hex:" + "00" * 64


@pytest.fixture
def app(compile_c: Callable[..., str]) -> str:
    return compile_c(DECLARED + MAPS_AND_DATA, "-g")


@pytest.fixture
def program(app: str, tmp_path: Path) -> str:
    path = str(tmp_path / "app.bpfl")
    assert main(["gen", app, "-o", path]) == 0
    return path


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, str]:
    """A private key and its certificate."""
    paths = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    words = [
        "openssl",
        "req",
        "-new",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=bpfas",
        "-days",
        "3",
    ]
    subprocess.run([*words, "-keyout", paths[0], "-out", paths[1]], check=True, capture_output=True)
    return paths


@pytest.mark.parametrize(
    ("output", "options", "begins"),
    [
        ("app.bpfl", [], b"\x7fBPFLOAD"),
        ("app", [], b"\x7fBPFLOAD"),
        ("app.py", [], b'"""'),
        ("app.h", [], b"/* SPDX"),
        ("app.o", [], b"\x7fELF"),
        ("app.o", ["--format", "raw"], b"\x7fBPFLOAD"),
        ("app.txt", ["--format", "python"], b'"""'),
    ],
)
def test_the_name_says_the_format_unless_an_option_does(
    app: str, output: str, options: list[str], begins: bytes, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / output
    assert main(["gen", app, "-o", str(path), *options]) == 0
    assert path.read_bytes().startswith(begins)
    assert [*path.parent.iterdir()] == [path]


def test_a_module_says_to_import_it_by_the_name_of_its_file(
    app: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my_loader.py"
    assert main(["gen", app, "--name", "thing", "-o", str(path)]) == 0
    assert "    import my_loader\n\n    with my_loader.open() as skel:" in path.read_text()
    assert "class Thing(Skeleton):" in path.read_text()
    assert main(["gen", app, "--name", "thing", "--format", "python"]) == 0
    assert "    import thing\n" in capsys.readouterr().out


def test_standard_output_and_input(app: str, tmp_path: Path) -> None:
    code = f"import sys; from bpfas.loader.cli import main; sys.exit(main({['gen', '-', '-o', '-']!r}))"
    with open(app, "rb") as source:
        done = subprocess.run([sys.executable, "-c", code], stdin=source, capture_output=True, check=True)
    assert is_raw(done.stdout)
    path = tmp_path / "app.bpfl"
    assert main(["gen", app, "-o", str(path)]) == 0
    assert read_raw(done.stdout).instructions == read_raw(path.read_bytes()).instructions


def test_binaries_are_not_written_to_terminals(
    app: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["gen", app]) == 1
    assert "the format raw is not for terminals" in capsys.readouterr().err


@kernel
def test_a_file_is_loaded_like_an_object(app: str, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([app, "--json"]) == 0
    direct = json.loads(capsys.readouterr().out)
    assert main([program, "--json"]) == 0
    captured = capsys.readouterr()
    generated = json.loads(captured.out)
    assert captured.err == ""
    for each in (direct, generated):
        for entry in (*each["programs"], *each["maps"]):
            del entry["id"]
            entry.pop("tag", None)
    assert generated == direct


@kernel
def test_values_and_sizes_are_given_when_it_is_run(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([program, "--json", "--map", "counts.max_entries=77"]) == 0
    maps = {each["name"]: each for each in json.loads(capsys.readouterr().out)["maps"]}
    assert maps["counts"]["max_entries"] == 77
    assert main(["run", program, "prog", "--data-in", PACKET, "--set", "threshold=100", "--dump-maps"]) == 0
    out = capsys.readouterr().out
    assert "prog returned 1 (XDP_DROP)" in out
    assert "1: 300" in out


@kernel
def test_parts_of_variables_are_given(
    compile_c: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = compile_c(
        "struct limits { int low, high[2]; } limits = { 1, { 2, 3 } };"
        'SEC("xdp") int prog(void *ctx) { return limits.low * 100 + limits.high[0] * 10 + limits.high[1]; }',
        "-g",
    )
    path = str(tmp_path / "app.bpfl")
    assert main(["gen", app, "-o", path, "--set", "limits.low=4"]) == 0
    arguments = ["run", path, "--data-in", PACKET, "--set", "limits.high[1]=7"]
    assert main(arguments) == 0
    assert "prog returned 427\n" in capsys.readouterr().out
    assert main([*arguments, "--set", "limits.hihg=7"]) == 1
    assert "has no member 'hihg'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--with", "x.o"], "--with: what a loader program is, is settled"),
        (["--prog", "prog.autoload=0", "--btf", "x"], "--prog, --btf: what a loader program is, is settled"),
        (["--map", "counts.key_size=8"], "there is no field 'key_size' to set"),
        (["--map", "count.max_entries=8"], "there is no map 'count'"),
        (["--set", "x=8"], "there is no variable 'x'"),
        (["--dry-run"], "a loader program finds out what it loads when it is run"),
        (["--keyring", "session"], "the loader program has no signature"),
    ],
)
def test_options_that_are_not_for_loader_programs_are_refused(
    program: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([program, *options]) == 1
    assert words in capsys.readouterr().err


def test_keyrings_are_not_for_objects(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([app, "--keyring", "session"]) == 1
    assert "--keyring and --cert are for loader programs" in capsys.readouterr().err


def test_the_trace_of_an_object_and_of_a_file_are_the_same(
    app: str, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gen", "--trace", app]) == 0
    text = capsys.readouterr().out
    assert "BPF_PROG_LOAD: program prog\n" in text
    assert main(["gen", "--trace", program]) == 0
    assert capsys.readouterr().out == text
    assert main(["gen", "--trace", "--json", app]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["steps"][0]["command"] == "BPF_BTF_LOAD"


def test_a_file_is_written_in_other_formats(
    app: str, program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("app.py", "app.h", "app.loader.o", "again.bpfl"):
        of_object, of_file = tmp_path / "of_object" / name, tmp_path / "of_file" / name
        for source, output in ((app, of_object), (program, of_file)):
            output.parent.mkdir(exist_ok=True)
            assert main(["gen", source, "-o", str(output)]) == 0
        assert of_file.read_bytes() == of_object.read_bytes()
    assert main(["gen", program, "-o", str(tmp_path / "x"), "--set", "threshold=1", "--token"]) == 1
    assert "--set, --token: what a loader program is, is settled" in capsys.readouterr().err


@kernel
def test_several_objects_are_linked(
    compile_c: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = [
        compile_c('extern int two(void); SEC("xdp") int prog(void *ctx) { return two(); }', "-g", name="first"),
        compile_c("__attribute__((noinline)) int two(void) { return 2; }", "-g", name="second"),
    ]
    path = str(tmp_path / "app.bpfl")
    assert main(["gen", *objects, "-o", path]) == 0
    assert read_raw(Path(path).read_bytes()).name == "first"
    assert main(["run", path, "--data-in", PACKET]) == 0
    assert "prog returned 2 (XDP_PASS)" in capsys.readouterr().out


def test_a_failure_leaves_what_was_there(
    app: str, compile_c: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "app.bpfl"
    path.write_text("before")
    bad = compile_c('SEC("nonsense") int prog(void *ctx) { return 0; }', "-g", name="bad")
    assert main(["gen", bad, "-o", str(path)]) == 1
    assert "stands for no program type" in capsys.readouterr().err
    assert path.read_text() == "before"
    assert main(["gen", app, "-o", app]) == 1
    assert "it would be overwritten" in capsys.readouterr().err
    read_object(Path(app).read_bytes(), app)
    assert main(["gen", app, "-o", str(tmp_path / "nowhere" / "x")]) == 1
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trace", "-o", "x"], "--trace writes text to standard output"),
        (["--key", "k", "--cert", "c", "-o", "x"], "--scheme says for which kernels"),
        (["--scheme", "newer", "--key", "k", "-o", "x"], "--key and --cert belong together"),
        (["--scheme", "older", "-o", "x"], "invalid choice: 'older'"),
        (["--format", "pascal", "-o", "x"], "invalid choice: 'pascal'"),
        (["--map", "counts.max_entries", "-o", "x"], "is not of the form"),
        (["--set", "nothing=1", "-o", "x"], "there is no variable 'nothing'"),
        (["--scheme", "newer", "-o", "x"], "LINUX_KERNEL_VERSION are not known, and a signed program takes none"),
    ],
)
def test_wrong_options_are_told(
    app: str,
    options: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["gen", app, *options]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


SIGNABLE = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); }
    counts SEC(".maps");
int threshold = 7;
SEC("xdp") int prog(struct xdp_md *ctx) { __u32 key = 0; __u64 value = threshold;
    bpf_map_update_elem(&counts, &key, &value, 0); return XDP_PASS; }
"""


def test_signing_and_verifying(
    compile_c: Callable[..., str], key: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app, path, later = compile_c(SIGNABLE, "-g"), tmp_path / "app.bpfl", tmp_path / "later.bpfl"
    with_key = ["--key", key[0], "--cert", key[1]]
    assert main(["gen", app, "-o", str(path), "--scheme", "newer", *with_key]) == 0
    assert main(["gen", "verify", str(path), "--cert", key[1]]) == 0
    assert "signed by the owner of" in capsys.readouterr().out
    assert main(["gen", "verify", str(path), "--cert", key[1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(path), "scheme": "newer"}
    assert main(["gen", app, "-o", str(tmp_path / "x.o"), "--scheme", "newer"]) == 1
    assert "cannot be an ELF object" in capsys.readouterr().err
    # Signed later, where the key is.
    assert main(["gen", app, "-o", str(later), "--scheme", "newer"]) == 0
    assert main(["gen", "verify", str(later), "--cert", key[1]]) == 1
    assert capsys.readouterr().err.startswith(f"{later}: error: the loader program is not signed")
    assert main(["gen", "sign", str(later), *with_key]) == 0
    assert later.read_bytes() == path.read_bytes()
    changed = read_raw(path.read_bytes())
    assert main(["gen", "sign", app, *with_key]) == 1
    assert "not a loader program" in capsys.readouterr().err
    from bpfas.loader.gen.files.raw_file import write_raw

    path.write_bytes(write_raw(changed._replace(data=changed.data[:-1] + b"\xff")))
    assert main(["gen", "verify", str(path), "--cert", key[1]]) == 1
    assert capsys.readouterr().err.startswith(f"{path}: error: the ")
    assert main(["gen", "verify", str(later), "--cert", key[1]]) == 0
    assert main([str(later), "--set", "threshold=5"]) == 1
    assert f"{later}: error: the loader program is made to be signed" in capsys.readouterr().err


@kernel
@needs(kernel_type("excl_prog_sha"))
def test_a_signed_file_is_run_without_a_keyring_and_takes_no_changes(
    compile_c: Callable[..., str], key: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "app.bpfl")
    options = ["--scheme", "newer", "--key", key[0], "--cert", key[1]]  # of which no kernel lacks anything
    assert main(["gen", compile_c(SIGNABLE, "-g"), "-o", path, *options]) == 0
    assert main(["run", path, "--data-in", PACKET]) == 0
    assert "prog returned 2" in capsys.readouterr().out
    assert main([path, "--set", "threshold=5"]) == 1
    assert "made to be signed, so what is in it cannot be changed: variable threshold" in capsys.readouterr().err


@kernel
def test_a_refusal_is_told_as_json(
    compile_c: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = compile_c('SEC("xdp") int bad(struct xdp_md *ctx) { return *(int *)(long)ctx->data; }', "-g")
    path = str(tmp_path / "app.bpfl")
    assert main(["gen", app, "-o", path]) == 0
    assert main([path, "--json"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["step"], told["subject"], told["errno"]) == ("load_program", "program bad", "EACCES")
    assert told["verifier"]["instruction"] is not None
    assert any("step 3 of" in note for note in told["notes"])


@kernel
def test_a_file_is_pinned_and_attached_like_an_object(
    program: str, bpffs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pin", program, str(bpffs / "app")]) == 0
    assert sorted(each.name for each in (bpffs / "app").iterdir()) == sorted(
        ["_bss", "_data", "_kconfig", "_rodata", "counts", "jumps", "perf", "prog", "ring", "tail"]
    )
    assert main(["unpin", str(bpffs / "app")]) == 0
    capsys.readouterr()
    assert main(["attach", program, "prog", "--to", "interface=nothing0"]) == 1
    assert "nothing0" in capsys.readouterr().err


def test_a_damaged_file_is_told(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = Path(program).read_bytes()
    Path(program).write_bytes(data[:-100])
    assert main([program]) == 1
    assert f"{program}: error: the file is damaged" in capsys.readouterr().err


def test_a_program_is_read_from_standard_input(program: str) -> None:
    code = f"import sys; from bpfas.loader.cli import main; sys.exit(main({['gen', '--trace', '-']!r}))"
    with open(program, "rb") as source:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=source, capture_output=True, check=True, text=True
        )
    assert "BPF_PROG_LOAD" in done.stdout


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["gen", "--help"])
    assert "examples:" in capsys.readouterr().out


def test_loader_programs_are_not_linked(program: str, app: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([program, app], [app, program], [app, "--with", program]):
        assert main(["gen", *arguments]) == 1
        assert "a loader program cannot be linked with anything" in capsys.readouterr().err


def test_object_on_standard_input_has_a_name(app: str) -> None:
    code = "import sys; from bpfas.loader.cli import main; sys.exit(main(['gen', '-', '--format', 'c']))"
    with open(app, "rb") as source:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=source, capture_output=True, check=True, text=True
        )
    assert "\nstruct object {" in done.stdout
