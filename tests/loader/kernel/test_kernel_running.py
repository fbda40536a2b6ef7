"""The running kernel, asked for real."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.errors import LoadError
from bpfas.loader.kernel import probes
from bpfas.loader.kernel.features import Feature
from bpfas.loader.kernel.running import RunningKernel, cpu_count
from bpfas.loader.kernel.version import parse_version
from tests.btf.builders import Types
from tests.loader.kernels import SplitTypes, module, vmlinux

if TYPE_CHECKING:
    from bpfas.loader.kernel.kernel import Kernel

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]


@pytest.mark.parametrize("feature", Feature)
def test_a_probe_says_what_it_tried(feature: Feature) -> None:
    probe = RunningKernel().probe(feature)
    assert probe.feature is feature
    assert len(probe.tried.split()) > 4


def test_a_feature_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = RunningKernel()
    first = kernel.probe(Feature.BTF_FLOAT)
    monkeypatch.setattr("bpfas.loader.syscall.btf_load", lambda *_, **__: pytest.fail("tried again"))
    assert RunningKernel().probe(Feature.BTF_FLOAT) is first


def test_any_kernel_that_these_tests_run_on_has_what_came_with_linux_5() -> None:
    kernel: Kernel = RunningKernel()
    assert kernel.version >= parse_version("5.15")
    old = (Feature.PROGRAM_NAMES, Feature.GLOBAL_DATA, Feature.BTF_GLOBAL_FUNC, Feature.PERF_LINK)
    assert [feature for feature in old if not kernel.has(feature)] == []


def test_the_kernel_says_what_it_is() -> None:
    kernel = RunningKernel()
    assert kernel.release == os.uname().release
    assert kernel.release in kernel.name
    assert kernel.page_size == os.sysconf("SC_PAGE_SIZE")
    assert kernel.possible_cpus >= (os.cpu_count() or 1)


def test_symbols_have_addresses() -> None:
    addresses = RunningKernel().addresses(["_stext", "no_such_symbol"])
    assert len(addresses["_stext"]) == 1
    assert addresses["no_such_symbol"] == set()


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-3\n", 4), ("0-1,4,6-7\n", 5)])
def test_lists_of_cpus_are_counted(text: str, count: int) -> None:
    assert cpu_count(text) == count


def test_a_module_that_is_gone_is_told() -> None:
    base = Types()
    base.integer()
    own = SplitTypes(base)
    own.integer("long", 8)
    gone = module("bpfas_gone", own, vmlinux(base))
    with RunningKernel() as kernel:
        assert kernel.btf_fd(vmlinux(base)) == 0
        with pytest.raises(LoadError) as caught:
            kernel.btf_fd(gone)
    assert caught.value.summary == (
        "module bpfas_gone: opening the module's types failed with ENOENT: the module is not loaded any more"
    )


def test_the_descriptor_of_a_modules_types_is_opened_once() -> None:
    with RunningKernel() as kernel:
        modules = kernel.modules()
        if not modules:
            pytest.skip("no module with BTF is loaded")
        assert kernel.btf_fd(modules[0]) == kernel.btf_fd(modules[0]) > 0


def test_what_a_process_lacks_for_trying_says_nothing_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(probes, "_known", {})
    with monkeypatch.context() as lacking:
        lacking.setattr("bpfas.loader.syscall.prog_load", run_out)
        while_lacking = probes.probe(Feature.PROGRAM_NAMES)
    assert (while_lacking.works, while_lacking.errno) == (True, errno.EMFILE)
    assert probes.probe(Feature.PROGRAM_NAMES).errno == 0
