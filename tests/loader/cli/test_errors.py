"""How bpf-load says what the verifier refuses: in an order that can be read, in colours for people, as data."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, unsigned);
         __type(value, unsigned); } counts SEC(".maps");
SEC("xdp") int forgets(struct xdp_md *ctx)
{
    unsigned key = ctx->ingress_ifindex;
    unsigned *value = bpf_map_lookup_elem(&counts, &key);
    return *value;
}
"""


@pytest.fixture
def refused(compile_c: Callable[..., str]) -> str:
    """An object whose program does not look whether a key is there."""
    return compile_c(SOURCE, "-g")


@pytest.mark.kernel
@pytest.mark.peer
@pytest.mark.usefixtures("no_leaks")
def test_a_refusal_goes_from_the_cause_to_the_log(refused: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([refused]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    order = (
        "bpf-load: error: program forgets: loading the program failed with EACCES: the verifier says: R0 invalid",
        ">>> at instruction ",
        ">>> which is ",
        "return *value;",
        ">>> where R0 is map_value_or_null(",
        ">>> the way there:",
        ">>> remedy: ",
        ">>> the kernel's log:\n",
        "R0 invalid mem access 'map_value_or_null'\n",
    )
    at = 0
    for part in order:
        found = captured.err.find(part, at)
        assert found >= at, part
        at = found + len(part)
    assert "\33[" not in captured.err


@pytest.mark.kernel
@pytest.mark.peer
def test_colours_do_not_change_the_text(refused: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([refused]) == 1
    plain = capsys.readouterr().err
    assert main(["--color", "always", refused]) == 1
    colored = capsys.readouterr().err
    assert colored.startswith("bpf-load: \33[1;31merror: \33[0m")
    assert "\33[1;32mremedy:\33[0m" in colored
    assert _without_numbers(re.sub(r"\x1b\[[\d;]*m", "", colored)) == _without_numbers(plain)
    assert main(["--color=never", refused]) == 1
    assert "\33[" not in capsys.readouterr().err


def _without_numbers(text: str) -> str:
    """Without what is another in each run: times, and addresses in the kernel."""
    return re.sub(r"verification time \d+|[0-9a-f]{12,}", "", text)


@pytest.mark.kernel
@pytest.mark.peer
def test_behind_a_long_log_the_refusal_is_told_again(
    compile_c: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    long_way = "asm volatile(" + r'"r1 = 1\n"' * 200 + ' ::: "r1");'
    app = compile_c(SOURCE.replace("return *value;", f"{long_way} return *value;"), "-g")
    assert main([app]) == 1
    head, _, log = capsys.readouterr().err.partition(">>> the kernel's log:\n")
    assert "remedy: compare the pointer with NULL" in head
    assert log.endswith(head)
    assert main(["--json", app]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.kernel
@pytest.mark.peer
def test_a_refusal_is_data(refused: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", refused]) == 1
    message = json.loads(capsys.readouterr().err)
    assert (message["program"], message["subject"], message["errno"]) == ("bpf-load", "program forgets", "EACCES")
    assert message["step"] == "load_program"
    assert message["log"].rstrip() in message["notes"][-1]
    found = message["verifier"]
    assert found["source"]["text"] == "return *value;"
    assert found["registers"]["R0"].startswith("map_value_or_null(")
    assert found["path"][-1].endswith("return *value;")


@pytest.mark.parametrize("arguments", [["--nonsense"], ["maps", "--color=sometimes"], ["no-such-file", "--json"]])
def test_errors_of_usage_need_no_kernel(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "error" in error
    assert "Traceback" not in error
