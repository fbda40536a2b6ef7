"""bpf-load maps: what is in the kernel listed, dumped and changed, typed through its BTF."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.loader import load, syscall
from bpfas.loader.cli import main
from bpfas.loader.cli.interruption import interruptible
from bpfas.loader.kinds import MapType
from bpfas.loader.runtime.cpus import possible_cpu_count
from bpfas.loader.runtime.maps import Map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.loader.loading.collection import Collection

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

SOURCE = """
enum color { RED, GREEN };
struct stats { unsigned long long packets; enum color color; char name[8]; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, unsigned);
         __type(value, struct stats); } clistats SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2); __type(key, unsigned);
         __type(value, unsigned); } clicpus SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 2); __uint(value_size, 4); } cliqueue SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __uint(key_size, 4);
         __uint(value_size, 4); } cliprogs SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 2); __type(key, unsigned);
         __type(value, unsigned); } clicounts SEC(".maps");
int cli_limit = 2000, cli_step = 3;
SEC("xdp") int cliprog(void *ctx)
{
    unsigned key = cli_limit ? 0 : cli_step;
    bpf_map_lookup_elem(&clistats, &key);
    return 2;
}
"""


@pytest.fixture
def app(compile_c: Callable[..., str]) -> Iterator[Collection]:
    with load(compile_c(SOURCE, "-g")) as collection:
        yield collection


NUMBERS = itertools.count()


@pytest.fixture
def name() -> str:
    """A name that no other map has had, for those that are closed stay in the kernel a little."""
    return f"cli{next(NUMBERS)}_{os.getpid()}"


@contextlib.contextmanager
def hash_map(name: str) -> Iterator[Map]:
    """A map of this name."""
    fd = syscall.map_create(name[:15], MapType.HASH, 4, 4, 2)
    with Map.from_fd(fd) as map_:
        yield map_


def of(app: Collection, name: str) -> str:
    """How commands are told of a map of the object."""
    return f"id:{app.maps[name].id}"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(said(capsys))


def test_a_map_is_read_and_changed_with_values_of_its_types(
    app: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    value = '{"packets": 5, "color": "GREEN", "name": "eth0"}'
    assert main(["maps", "update", of(app, "clistats"), "0x7", value]) == 0
    assert app.maps["clistats"][7] == {"packets": 5, "color": 1, "name": "eth0"}
    assert main(["maps", "lookup", of(app, "clistats"), "7"]) == 0
    assert said(capsys) == '7: {"packets": 5, "color": "GREEN", "name": "eth0"}\n'
    assert main(["maps", "dump", "--json", of(app, "clistats")]) == 0
    assert as_json(capsys) == [{"key": 7, "value": {"packets": 5, "color": "GREEN", "name": "eth0"}}]
    assert main(["maps", "pop", of(app, "clistats"), "hex:07000000"]) == 0
    assert 7 not in app.maps["clistats"]


def test_an_update_may_be_for_new_or_for_existing_keys_alone(app: Collection) -> None:
    counts, reference = app.maps["clicounts"], of(app, "clicounts")
    assert main(["maps", "update", reference, "1", "5", "--existing"]) == 1
    assert main(["maps", "update", reference, "1", "5", "--new"]) == 0
    assert main(["maps", "update", reference, "1", "6", "--new"]) == 1
    assert main(["maps", "update", reference, "1", "7", "--existing"]) == 0
    assert counts[1] == 7


def test_what_is_not_there_has_an_exit_status_of_its_own(
    app: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["maps", "lookup", of(app, "clistats"), "9"]) == 2
    assert "map clistats has no key 9" in capsys.readouterr().err
    assert main(["maps", "delete", of(app, "clistats"), "9"]) == 2
    assert main(["maps", "pop", of(app, "cliqueue")]) == 2
    assert "map cliqueue is empty" in capsys.readouterr().err
    assert main(["maps", "dump", "id:4294967295"]) == 2
    assert main(["maps", "dump", "/sys/fs/bpf/no-such-pin"]) == 2


def test_a_map_is_found_by_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with hash_map(name) as only:
        assert main(["maps", "update", name, "1", "5"]) == 0
        assert only[1] == (5).to_bytes(4, sys.byteorder)
        assert main(["maps", "dump", name[:-1]]) == 2
        assert (
            f"there is no map called '{name[:-1]}' in the kernel; did you mean {name}" in capsys.readouterr().err
        )


def test_a_longer_name_stands_for_what_the_kernel_keeps_of_it(name: str) -> None:
    longer = name.ljust(15, "_") + "and_more"
    with hash_map(longer):
        assert main(["maps", "list", longer]) == 0


def test_a_name_of_several_maps_is_refused_with_their_ids(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with hash_map(name) as one, hash_map(name) as two:
        assert main(["maps", "dump", name]) == 1
        expected = f"2 maps are called '{name}': id:{one.id} (hash), id:{two.id} (hash)"
        assert expected in capsys.readouterr().err


def test_maps_are_listed_with_their_pins(app: Collection, bpffs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bpffs / "stats"
    app.maps["clistats"].pin(path)
    assert main(["maps"]) == 0
    head, *lines = (line.split() for line in said(capsys).splitlines())
    assert head == ["ID", "MAP", "TYPE", "KEY", "VALUE", "ENTRIES", "FLAGS", "PINNED"]
    number = str(app.maps["clistats"].id)
    assert [number, "clistats", "hash", "4", "24", "8", "-", str(path)] in lines
    assert main(["maps", "--json", "list", str(path)]) == 0
    (info,) = as_json(capsys)
    assert (info["id"], info["pinned"], info["flags"]) == (int(number), [str(path)], [])


def test_the_values_of_all_cpus_and_of_one(app: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["maps", "update", of(app, "clicpus"), "1", "5", "--all-cpus"]) == 0
    assert app.maps["clicpus"][1] == [5] * possible_cpu_count()
    assert main(["maps", "lookup", of(app, "clicpus"), "1"]) == 0
    lines = [f"cpu {cpu}: 5" for cpu in range(possible_cpu_count())]
    assert said(capsys).splitlines() == (
        ["1:", *(f"  {line}" for line in lines)] if len(lines) > 1 else [f"1: {lines[0]}"]
    )
    last = str(possible_cpu_count() - 1)
    if main(["maps", "update", of(app, "clicpus"), "1", "7", "--cpu", last]) == 0:
        assert app.maps["clicpus"][1] == [*[5] * int(last), 7]
    else:
        assert "this kernel does not set the value of one CPU alone" in capsys.readouterr().err
    assert main(["maps", "update", of(app, "clistats"), "1", "5", "--all-cpus"]) == 1
    assert main(["maps", "update", of(app, "clicpus"), "1", "5", "--cpu", "100000"]) == 1
    assert "there is no CPU 100000" in capsys.readouterr().err


def test_values_are_put_into_a_queue_and_taken_out(app: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("1", "hex:02000000"):
        assert main(["maps", "push", of(app, "cliqueue"), value]) == 0
    assert main(["maps", "lookup", of(app, "cliqueue")]) == 0
    assert main(["maps", "pop", of(app, "cliqueue")]) == 0
    assert main(["maps", "pop", of(app, "cliqueue"), "--json"]) == 0
    first, second, rest = said(capsys).split("\n", 2)
    assert (first, second) == ("01 00 00 00",) * 2
    assert json.loads(rest) == {"value": "02000000"}
    assert main(["maps", "lookup", of(app, "clistats")]) == 1
    assert "map clistats has keys: say which" in capsys.readouterr().err


def test_a_program_goes_into_a_prog_array(app: Collection) -> None:
    assert main(["maps", "update", of(app, "cliprogs"), "1", f"id:{app.programs['cliprog'].id}"]) == 0
    assert app.maps["cliprogs"][1] == app.programs["cliprog"].id


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lookup", "clistats", "x"], "map clistats: the key: 'x' is no integer"),
        (["lookup", "clistats", "hex:0"], "'hex:0' is not hexadecimal"),
        (["update", "clistats", "1", '{"packet": 5}'], "packet"),
        (["dump", "cliqueue"], "this type of map has no keys that could be listed"),
        (["update", "clistats", "1", "0", "--new", "--existing"], "--new and --existing exclude each other"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], message: str, app: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    action, name, *rest = arguments
    assert main(["maps", action, of(app, name), *rest]) == 1
    error = capsys.readouterr().err
    assert error.startswith("bpf-load: error: ")
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["dump", "id:x"], "'id:x' is no id"), (["lookup"], "required: MAP"), (["--nonsense"], "--nonsense")],
)
def test_wrong_usage_is_said(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["maps", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_messages_about_the_kernel_are_data_as_well(app: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["maps", "dump", "--json", of(app, "cliqueue")]) == 1
    message = json.loads(capsys.readouterr().err)
    assert (message["step"], message["subject"]) == ("next_key", "map cliqueue")
    assert message["errno"] in ("ENOTSUPP", "EINVAL")
    assert message["message"].endswith(message["cause"])


def test_waiting_ends_with_a_signal() -> None:
    with interruptible() as stopped:
        os.kill(os.getpid(), 15)
        assert os.read(stopped, 1)


def test_variables_that_are_not_named_stay(app: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"id:{app.maps['.data'].id}"
    assert main(["maps", "update", data, "0", '{"cli_step": 4}']) == 0
    assert (app.data["cli_limit"], app.data["cli_step"]) == (2000, 4)
    assert main(["maps", "update", data, "0", '{"cli_stop": 4}']) == 1
    assert "has no member 'cli_stop'" in capsys.readouterr().err
