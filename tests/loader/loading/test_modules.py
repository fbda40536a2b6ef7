"""Functions of modules, called and attached to for real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.loader import load
from bpfas.loader.kernel.running import RunningKernel
from tests.loader.kernel_support import Need, needs

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks", "conntrack")]

MODULE_BTF = Path("/sys/kernel/btf/nf_conntrack")


@pytest.fixture
def conntrack() -> None:
    """The module nf_conntrack, which has functions for programs; loaded after the kernel was asked for others."""
    RunningKernel().modules()
    if not MODULE_BTF.exists():
        os.system("modprobe -q nf_conntrack 2>/dev/null")  # noqa: S605, S607
    if not MODULE_BTF.exists():
        pytest.skip(f"there is no {MODULE_BTF}")


LOOK_UP = """
    .section tc,"ax"
    .globl prog
    .type prog,@function
prog:
    *(u64 *)(r10 - 8) = 0
    *(u64 *)(r10 - 16) = 0
    *(u64 *)(r10 - 24) = 0
    *(u64 *)(r10 - 32) = 0
    *(u32 *)(r10 - 32) = -1
    *(u8 *)(r10 - 24) = 6
    r2 = r10
    r2 += -16
    r3 = 12
    r4 = r10
    r4 += -32
    r5 = 12
    call bpf_skb_ct_lookup
    if r0 == 0 goto 1f
    r1 = r0
    call bpf_ct_release
1:  r0 = 5
    exit
    .section license,"aw"
    .asciz "GPL"
"""
KFUNCS = ["bpf_skb_ct_lookup", "bpf_ct_release"]


def test_a_function_of_a_module_is_called() -> None:
    with load(assemble(LOOK_UP, "app.o"), ksyms=KFUNCS) as app:
        assert app.programs["prog"].test_run(bytes(64)).retval == 5


def test_a_function_that_no_module_has_is_told_with_the_nearest() -> None:
    source = LOOK_UP.replace("bpf_ct_release", "bpf_ct_releas")
    with pytest.raises(BpfasError) as caught:
        load(assemble(source, "app.o"), ksyms=["bpf_skb_ct_lookup", "bpf_ct_releas"])
    assert "did you mean bpf_ct_release" in str(caught.value)


@needs(Need.TRAMPOLINES)
@pytest.mark.parametrize("target", ["nf_conntrack_in", "nf_conntrack:nf_conntrack_in"])
def test_a_program_is_attached_to_a_function_of_a_module(target: str) -> None:
    source = f'.section "fentry/{target}","ax"\n.globl prog\n.type prog,@function\nprog: r0 = 0\nexit\n'
    with load(assemble(source + '.section license,"aw"\n.asciz "GPL"\n', "app.o")) as app:
        assert "prog" in app.programs


def test_the_descriptor_is_of_the_modules_types() -> None:
    with RunningKernel() as kernel:
        module = next(module for module in kernel.modules() if module.name == "nf_conntrack")
        assert kernel.btf_fd(module) > 0
        assert module.ids_named("bpf_ct_release")
