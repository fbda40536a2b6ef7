"""What programs are attached to, in kernels that files describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.diag import Diagnostics
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.loading.attach_target import find_attach_target
from bpfas.loader.sections import section_kind
from bpfas.loader.spec import ProgramSpec
from tests.btf.builders import Types
from tests.loader.builders import PASS
from tests.loader.kernels import SplitTypes, module, vmlinux

if TYPE_CHECKING:
    from bpfas.loader.loading.attach_target import AttachTarget


def the_kernel(kallsyms: bytes = b"") -> DescribedKernel:
    """vmlinux with something for each kind of target, and the modules `nf_tables` and `nf`."""
    base = Types()
    prototype = base.prototype(0, [])
    pointer = base.pointer(prototype)
    for name in ("vfs_read", "vfs_write", "bpf_lsm_file_open", "bpf_iter_task"):
        base.func(name, prototype)
    base.typedef("btf_trace_sched_switch", pointer)
    base.typedef("vfs_open", pointer)
    tables, netfilter = SplitTypes(base), SplitTypes(base)
    tables.func("nft_do_chain", prototype)
    tables.func("vfs_read", prototype)
    netfilter.func("nf_hook", prototype)
    netfilter.typedef("btf_trace_nf", pointer)
    types = vmlinux(base)
    modules = [module("nf_tables", tables, types), module("nf", netfilter, types)]
    return DescribedKernel(types, modules, kallsyms=kallsyms, name="the kernel")


def find(
    section: str, kernel: DescribedKernel | None = None, target: str | None = None
) -> tuple[AttachTarget | None, str]:
    """What a program in a section is attached to, and what is reported."""
    kind = section_kind(section)
    program = ProgramSpec("prog", "prog", section, kind.program_type, PASS, target=target)
    program = program._replace(expected_attach_type=kind.attach_type, kind=kind)
    diagnostics = Diagnostics()
    found = find_attach_target(program, kernel or the_kernel(), diagnostics, "app.o")
    return found, "\n".join(item.render() for item in diagnostics.items)


def found(section: str, target: str | None = None) -> str:
    """The same as text: owner and name."""
    attach, report = find(section, target=target)
    assert not report
    assert attach
    return f"{attach.owner.name}:{attach.owner.btf.name(attach.type_id)}"


@pytest.mark.parametrize(
    ("section", "target"),
    [
        ("fentry/vfs_read", "vmlinux:vfs_read"),
        ("fexit.s/vfs_write", "vmlinux:vfs_write"),
        ("fmod_ret/vfs_read", "vmlinux:vfs_read"),
        ("fentry/vmlinux:vfs_read", "vmlinux:vfs_read"),
        ("fentry/nf_tables:vfs_read", "nf_tables:vfs_read"),
        ("fentry/nf-tables:vfs_read", "nf_tables:vfs_read"),
        ("fentry/nft_do_chain", "nf_tables:nft_do_chain"),
        ("tp_btf/sched_switch", "vmlinux:btf_trace_sched_switch"),
        ("tp_btf/nf", "nf:btf_trace_nf"),
        ("lsm/file_open", "vmlinux:bpf_lsm_file_open"),
        ("lsm_cgroup/file_open", "vmlinux:bpf_lsm_file_open"),
        ("iter/task", "vmlinux:bpf_iter_task"),
    ],
)
def test_targets_are_found_by_what_the_section_says(section: str, target: str) -> None:
    assert found(section) == target


def test_a_target_that_is_set_comes_before_the_section() -> None:
    assert found("fentry", target="vfs_read") == "vmlinux:vfs_read"
    assert found("fentry/vfs_read", target="nf_hook") == "nf:nf_hook"


@pytest.mark.parametrize("section", ["xdp", "kprobe/vfs_read", "freplace/f", "struct_ops/f", "fentry.multi/vfs_*"])
def test_other_programs_are_attached_to_nothing_in_the_kernels_types(section: str) -> None:
    assert find(section) == (None, "")


def test_a_program_for_many_functions_may_be_of_a_module() -> None:
    attach, report = find("fentry.multi/nf:nf_*")
    assert not report
    assert attach
    assert (attach.type_id, attach.owner.name) == (0, "nf")
    assert find("fentry.multi/vmlinux:vfs_*") == (None, "")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            "fentry",
            "section 'fentry' does not say which function 'prog' is attached to\n>>> name the section fentry/F",
        ),
        ("lsm.s", "does not say which LSM hook 'prog' is attached to\n>>> name the section lsm.s/HOOK"),
        ("fentry/vfs_reed", "the kernel has no function 'vfs_reed' in its BTF, which program 'prog'"),
        ("fentry/vfs_reed", ">>> did you mean vfs_read"),
        ("fentry/vfs_reed", ">>> its 2 modules have none either"),
        ("fentry/vfs_open", "the kernel has no function 'vfs_open'"),
        ("tp_btf/sched/sched_switch", "no tracepoint 'sched/sched_switch'"),
        ("tp_btf/sched/sched_switch", ">>> did you mean sched_switch?"),
        ("lsm/file_opn", "no LSM hook 'file_opn'"),
        ("lsm/file_opn", ">>> did you mean file_open?"),
        ("iter/tasks", "no iterator 'tasks'"),
        ("fentry/nf:nft_do_chain", "module nf has no function 'nft_do_chain'"),
        ("fentry/vmlinux:nft_do_chain", "the kernel has no function 'nft_do_chain'"),
        ("fentry/nf_table:f", "no module 'nf_table' with BTF is loaded, in which program 'prog' has its target"),
        ("fentry/nf_table:f", ">>> did you mean nf_tables?"),
        ("fentry/xfs:f", ">>> load it: modprobe xfs"),
        (f"fentry/{'f' * 128}", "is a name too long"),
    ],
)
def test_targets_that_are_not_found_are_told(section: str, words: str) -> None:
    attach, report = find(section)
    assert attach is None
    assert report.startswith(f"app.o:({section}): error: ")
    assert words in report


def test_a_function_that_is_not_in_btf_may_be_in_the_list_of_symbols() -> None:
    _, report = find("fentry/twice", the_kernel(b"ffffffff81000000 t twice\n"))
    assert ">>> /proc/kallsyms has it; BTF leaves out functions" in report
    assert "kprobe/twice does without" in report


def test_a_kernel_without_types_is_told() -> None:
    _, report = find("tp_btf/sched_switch", DescribedKernel())
    assert "tracepoint 'sched_switch', which program 'prog' is attached to, cannot be looked up" in report
    assert "CONFIG_DEBUG_INFO_BTF=y" in report


def test_modules_are_not_read_for_what_vmlinux_has(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = the_kernel()

    def read() -> None:
        pytest.fail("the types of modules were asked for")

    monkeypatch.setattr(kernel, "modules", read)
    attach, report = find("fentry/vfs_write", kernel)
    assert attach
    assert not report
