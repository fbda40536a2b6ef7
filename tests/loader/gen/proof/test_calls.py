"""The bpf() calls that executing a loader program takes: one makes a map, one a program, one runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.gen.c.header import c_header
from bpfas.loader.gen.python.module import python_module
from tests.loader.gen.proof import ways
from tests.loader.gen.proof.corpus import case
from tests.loader.gen.proof.executables import executable
from tests.loader.kernel_support import require
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.any_kernel, pytest.mark.peer]

OBJECTS = ("plain", "many_maps", "many_programs", "data_sections", "kconfig_few", "maps_in_maps", "references")
RUN = """
import sys
from bpfas.loader import open_image
from bpfas.loader.gen import generate
from bpfas.loader.gen.running.runner import run
run(generate(open_image(sys.argv[1]))).close()
"""


def bpf_calls(command: Sequence[str | Path], folder: Path) -> list[str]:
    """The commands of the bpf() calls that a process makes until it ends, in order."""
    strace = Peer.STRACE.require()
    trace = folder / "trace"
    traced = [strace, "-f", "-e", "trace=bpf", "-o", trace, *command]
    done = subprocess.run(traced, input="\n\n", capture_output=True, text=True, check=True)
    assert "error" not in done.stdout
    return re.findall(r"\bbpf\((\w+),", trace.read_text())


@pytest.mark.parametrize("name", OBJECTS)
def test_by_our_runner(name: str, tmp_path: Path) -> None:
    what = case(name)
    require(*what.proof.needs)
    calls = bpf_calls([sys.executable, "-c", RUN, what.path], tmp_path)
    assert calls == ["BPF_MAP_CREATE", "BPF_PROG_LOAD", "BPF_PROG_TEST_RUN"]


@pytest.mark.parametrize("name", OBJECTS)
def test_by_the_python_module(name: str, tmp_path: Path) -> None:
    what = case(name)
    require(*what.proof.needs)
    path = tmp_path / "made.py"
    path.write_text(python_module(ways.generated(what)))
    calls = bpf_calls([ways.BARE_PYTHON, "-I", "-S", ways.MODULE_USER, path], tmp_path)
    assert calls == ["BPF_MAP_CREATE", "BPF_PROG_LOAD", "BPF_PROG_TEST_RUN"]


@pytest.mark.parametrize("name", OBJECTS)
def test_by_the_c_header(name: str, tmp_path: Path) -> None:
    """By bpf_load_and_run of libbpf's skel_internal.h, which fills the map by one more call."""
    what = case(name)
    require(*what.proof.needs)
    calls = bpf_calls([executable(name, c_header(ways.generated(what), name))], tmp_path)
    assert calls == ["BPF_MAP_CREATE", "BPF_MAP_UPDATE_ELEM", "BPF_PROG_LOAD", "BPF_PROG_TEST_RUN"]
