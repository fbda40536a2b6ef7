"""bpf-load progs and links: programs listed and dumped with their source, links listed and detached."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load
from bpfas.loader.cli import main
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.loader.loading.collection import Collection

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

SOURCE = """
unsigned cliseen;
static __attribute__((noinline)) int clihelper(unsigned *value)
{
    return *value + bpf_get_prandom_u32() % 2;
}
SEC("xdp") int clidumped(void *ctx)
{
    unsigned value = bpf_get_smp_processor_id() + 1000;
    cliseen++;
    return clihelper(&value) & 1;
}
SEC("socket") int other(void *ctx) { return 0; }
"""


@pytest.fixture
def app(compile_c: Callable[..., str]) -> Iterator[Collection]:
    with load(compile_c(SOURCE, "-g")) as collection:
        yield collection


def of(app: Collection) -> str:
    """How commands are told of the program: programs that are closed keep their names in the kernel a little."""
    return f"id:{app.programs['clidumped'].id}"


def test_programs_are_listed(app: Collection, bpffs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, path = app.programs["clidumped"], bpffs / "prog"
    program.pin(path)
    assert main(["progs"]) == 0
    head, *lines = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["ID", "PROGRAM", "TYPE", "TAG", "XLATED", "JITED", "MAPS", "LOADED", "PINNED"]
    (line,) = (line for line in lines if line[0] == str(program.id))
    assert line[1:4] == ["clidumped", "xdp", program.info().tag]
    assert line[-1] == str(path)
    assert main(["progs", "list", "--json", of(app)]) == 0
    (info,) = json.loads(capsys.readouterr().out)
    assert (info["id"], info["map_count"], info["pinned"]) == (program.id, 1, [str(path)])


@needs(Need.BTF)
def test_a_dump_has_functions_lines_of_the_source_and_names(
    app: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["progs", "dump", of(app)]) == 0
    out = capsys.readouterr().out
    assert re.match(r"clidumped:\n; .* @ .*\.c:\d+\n    0: ", out)
    assert "\nclihelper:\n" in out
    assert re.search(r"; cliseen\+\+; @ .*\.c:\d+", out)
    assert re.search(rf"r\d = map\[id:{app.maps['.bss'].id}\]\[0\]\+0", out)
    assert re.search(r"call pc[+-]\d+ <clihelper>", out)
    assert re.search(r"call (bpf_user_rnd_u32|bpf_get_prandom_u32)#", out)
    assert "+= 1000" in out
    assert "\33[" not in out


@needs(Need.BTF)
def test_a_dump_as_json_has_every_byte(app: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["progs", "dump", of(app), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert bytes.fromhex("".join(each["bytes"] for each in shown)) == app.programs["clidumped"].translated()
    assert shown[0]["function"] == "clidumped"
    assert "value = bpf_get_smp_processor_id()" in shown[0]["source"]["text"]
    assert [each["index"] for each in shown] == sorted({each["index"] for each in shown})


def test_a_dump_goes_to_a_file(app: Collection, tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    assert main(["progs", "dump", of(app), "--output", str(out)]) == 0
    assert out.read_bytes() == app.programs["clidumped"].translated()


@pytest.mark.parametrize("has_objdump", [True, False])
def test_machine_code_is_dumped_by_functions(
    app: Collection,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    has_objdump: bool,
) -> None:
    if not app.programs["clidumped"].info().jited_size:
        pytest.skip("programs are interpreted")
    if not has_objdump:
        monkeypatch.setenv("PATH", "/nonexistent")
    assert main(["progs", "dump", "--jited", "--json", of(app)]) == 0
    functions = json.loads(capsys.readouterr().out)
    assert [function["name"] for function in functions] == ["clidumped", "clihelper"]
    code = app.programs["clidumped"].code().jited
    assert bytes.fromhex("".join(function["bytes"] for function in functions)) == code
    for function in functions:
        addresses = [int(each["address"], 16) for each in function["instructions"]]
        assert addresses[0] == int(function["address"], 16)
        assert addresses == sorted(set(addresses))
        assert {line["address"] for line in function["lines"]} <= {
            each["address"] for each in function["instructions"]
        }
    assert main(["progs", "dump", "--jited", of(app)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^clihelper: # 0x[0-9a-f]+$", out, re.MULTILINE)
    assert re.search(r"^; cliseen\+\+; @ ", out, re.MULTILINE)


def test_colours_are_for_those_who_ask(app: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["progs", "dump", of(app), "--color=always"]) == 0
    assert "\33[1mclidumped:\33[0m\n" in capsys.readouterr().out


def test_a_program_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["progs", "dump", "no_such_program"]) == 2
    assert "there is no program called 'no_such_program' in the kernel" in capsys.readouterr().err
    assert main(["progs", "dump", "id:4294967295"]) == 2


def test_links_are_listed_and_detached(
    app: Collection, bpffs: Path, capsys: pytest.CaptureFixture[str], network: object
) -> None:
    assert network
    program, path = app.programs["clidumped"], bpffs / "link"
    with program.attach(interface="lo", mode="generic") as link:
        link.pin(path)
        number = link.id
    assert main(["links"]) == 0
    head, *lines = (re.split(" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines())
    assert head == ["ID", "TYPE", "PROGRAM", "TARGET", "PINNED"]
    (line,) = (line for line in lines if line[-1] == str(path))
    assert line == [str(number), "xdp", f"clidumped (id:{program.id})", "lo", str(path)]
    assert main(["links", "--json", str(path)]) == 0
    (info,) = json.loads(capsys.readouterr().out)
    assert (info["id"], info["program_id"], info["target"]) == (number, program.id, "lo")
    assert main(["links", "detach", str(path)]) == 0
    assert not path.exists()
    assert main(["links", "list", f"id:{number}"]) == 2
    assert main(["links", "list", "clidumped"]) == 1
    assert "'clidumped' is no link" in capsys.readouterr().err
