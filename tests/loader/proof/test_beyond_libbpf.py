"""What Debian's libbpf does not know yet: loaded by us alone, and run, for there is nobody to compare with."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bpfas.loader import load
from tests.loader.kernel_support import require
from tests.loader.proof.corpus import BEYOND_LIBBPF, Proof

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

PACKET = bytes(64)
CONGESTION_CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


def proof(name: str) -> Proof:
    """The object of that name, if the kernel has what it needs."""
    (found,) = (each for each in BEYOND_LIBBPF if each.name == name)
    require(*found.needs)
    return found


def test_globals_lie_in_the_arena() -> None:
    with load(proof("arena").object("-mcpu=v3")) as app:
        total, change = app.programs["sum"], app.programs["change"]
        assert [total.test_run().retval for _ in range(2)] == [42, 43]
        assert app.data["first"] == 40
        assert change.test_run().retval == 1
        assert app.data["first"] == 50
        app.data["second"] = 3
        assert total.test_run().retval == 55


def test_exceptions_are_caught() -> None:
    with load(proof("exceptions").object("-mcpu=v3")) as app:
        assert app.programs["caught"].test_run(PACKET).retval == 42
        assert app.programs["uncaught"].test_run(PACKET).retval == 7


def test_iterators_step() -> None:
    with load(proof("iterators").object("-mcpu=v3")) as app:
        assert app.programs["sum"].test_run(PACKET).retval == 36


def test_a_struct_of_operations_is_registered_by_a_link() -> None:
    with load(proof("struct_ops_link").object("-mcpu=v3")) as app:
        with app.attach_struct_ops("proof"):
            assert "bpf_proof_link" in CONGESTION_CONTROLS.read_text().split()
        assert "bpf_proof_link" not in CONGESTION_CONTROLS.read_text().split()


@pytest.mark.parametrize(
    ("program", "number", "result"),
    [
        ("choose", 0, 10),
        ("choose", 13, 231),
        ("choose", 14, 1000),
        ("choose_in_a_function", 1, 35),
        ("choose_in_a_function", 99, 2000),
    ],
)
def test_jumps_go_by_tables(program: str, number: int, result: int) -> None:
    with load(proof("jump_tables").object("-mcpu=v4")) as app:
        assert app.programs[program].test_run(ctx=struct.pack("=2Q", number, 7)).retval == result
