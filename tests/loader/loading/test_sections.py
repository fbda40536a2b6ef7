"""Objects with groups, link order, sections of one name, lists of symbols and comments load like others."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.loader import load
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
    .file "k.c"
    .ident "a test"
    .addrsig
    .addrsig_sym prog
    .section xdp,"axG",@progbits,grouped,comdat
    .globl grouped
    .type grouped, @function
grouped:
    r0 = 3
    exit
    .size grouped, .-grouped
    .section xdp,"axR",@progbits
    .globl prog
    .type prog, @function
prog:
    r1 = 1
    call two
    exit
    .size prog, .-prog
    .set two, helper
    .section .text,"ax",@progbits
    .type helper, @function
helper:
    r0 = 2
    exit
    .size helper, .-helper
    .section license,"aw",@progbits
    .asciz "GPL"
    .section xdp,"ax",@progbits,unique,3
    .globl other
    .type other, @function
other:
    r0 = 1
    exit
    .size other, .-other
"""


@pytest.mark.kernel
@pytest.mark.parametrize("is_linked", [False, True])
def test_bpf_load_loads_it(is_linked: bool) -> None:
    obj = read_object(write_object(assemble(SOURCE)), "k.o")
    with load(link([obj]) if is_linked else obj) as app:
        assert {name: app.programs[name].test_run(bytes(64)).retval for name in app.programs} == {
            "prog": 2,
            "other": 1,
            "grouped": 3,
        }


@pytest.mark.kernel
@pytest.mark.peer
def test_libbpf_loads_it(tmp_path: Path) -> None:
    path = tmp_path / "k.o"
    path.write_bytes(write_object(assemble(SOURCE)))
    pins = "/sys/fs/bpf/bpfas_test_sections"
    tool = Peer.BPFTOOL.require()
    done = subprocess.run([tool, "prog", "loadall", path, pins], capture_output=True, text=True, check=False)
    shutil.rmtree(pins, ignore_errors=True)
    assert done.returncode == 0, done.stderr
