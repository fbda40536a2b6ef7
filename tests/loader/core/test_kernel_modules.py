"""CO-RE against the types of modules, as libbpf does it. The running kernel needs modules with BTF."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind
from bpfas.btf.reader import check_types
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.type_files import running_modules, running_types
from tests.loader.core.relocated import (
    compile_programs,
    compile_runner,
    read_core,
    relocated_by_libbpf,
    relocated_for,
)
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bpfas.loader.kernel.types import KernelTypes

pytestmark = [pytest.mark.peer, pytest.mark.kernel, needs(Need.MODULE_BTF)]

TYPES = """
struct net_device; struct veth_rq { u64 xdp_mem; };
struct veth_priv { struct net_device *peer; u64 dropped; unsigned int requested_headroom; int not_there; };
"""
BODIES = {
    "load": "struct veth_priv *it = ctx; return (long)it->peer + BPF_CORE_READ(it, requested_headroom);",
    "missing": "struct veth_priv *it = ctx; return it->not_there + bpf_core_field_exists(it->not_there);",
    "types": "return bpf_core_type_size(struct veth_priv) + bpf_core_type_id_kernel(struct veth_priv)"
    " + bpf_core_type_exists(struct veth_rq);",
}


@pytest.fixture
def kernel() -> Iterator[tuple[KernelTypes, tuple[KernelTypes, ...]]]:
    """The types of the running kernel and of its modules, veth among them."""
    subprocess.run(["/sbin/modprobe", "veth"], check=False)
    running_modules.cache_clear()
    types = running_types()
    assert types
    yield types, running_modules()
    running_modules.cache_clear()


def test_a_type_that_only_a_module_has(
    kernel: tuple[KernelTypes, tuple[KernelTypes, ...]], tmp_path: Path
) -> None:
    types, modules = kernel
    assert not types.ids_with_stem("veth_priv")
    path = compile_programs(tmp_path, TYPES, BODIES)
    ours = relocated_for(read_core(path), DescribedKernel(types, modules))
    assert ours.errors == {}
    assert len(ours.failures) == 1
    assert ours.failures[0].access == "struct veth_priv.not_there"
    assert ours.instructions == relocated_by_libbpf(compile_runner(tmp_path), path)


def test_the_types_of_modules_are_whole(kernel: tuple[KernelTypes, tuple[KernelTypes, ...]]) -> None:
    _, modules = kernel
    veth = next(module for module in modules if module.name == "veth")
    btf = veth.btf
    check_types(btf, range(veth.first_own_id, len(btf) + 1))
    (priv,) = veth.ids_named("veth_priv")
    assert btf.kind(priv) is Kind.STRUCT
    assert "peer" in [member.name for member in btf.members(priv)]
    assert all(btf.name(type_id) == "veth_init" for type_id in veth.ids_named("veth_init"))
