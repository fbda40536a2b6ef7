"""Kernels that files describe; nothing here asks the machine it runs on."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader.kernel.config_text import decoded_config, option, release_in
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.features import SINCE, Feature
from bpfas.loader.kernel.trial import btf_bytes, record
from bpfas.loader.kernel.types import KernelTypes
from bpfas.loader.kernel.version import kernel_version

if TYPE_CHECKING:
    from bpfas.loader.kernel.kernel import Kernel

CONFIG = """\
#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.1.112 Kernel Configuration
#
CONFIG_HZ=250
CONFIG_BPF=y
CONFIG_BPF_SYSCALL_NOT=m
# CONFIG_BPF_JIT is not set
"""


def types_with(*enumerators: str) -> KernelTypes:
    """Types with an enum bpf_cmd of these names."""
    names = ["bpf_cmd", *enumerators]
    places = [1 + sum(len(before) + 1 for before in names[:count]) for count in range(len(names))]
    entries = [word for number, place in enumerate(places[1:]) for word in (place, number)]
    data = btf_bytes([record(Kind.ENUM, places[0], 4, *entries, vlen=len(enumerators))], names)
    return KernelTypes("vmlinux", read_btf(data, HOST_ORDER, "some.btf"))


def test_every_feature_has_a_first_release() -> None:
    assert set(SINCE) == set(Feature)


@pytest.mark.parametrize("feature", Feature)
def test_features_come_with_their_release(feature: Feature) -> None:
    first = SINCE[feature]
    major, minor = first >> 16, first >> 8 & 0xFF
    before = f"{major}.{minor - 1}.99" if minor else f"{major - 1}.99"
    assert DescribedKernel(release=f"{major}.{minor}.0").has(feature)
    assert not DescribedKernel(release=before).has(feature)


def test_the_configuration_names_the_release() -> None:
    kernel = DescribedKernel(config=(CONFIG, "config-6.1"))
    assert (kernel.release, kernel.version) == ("6.1.112", kernel_version(6, 1, 112))


def test_a_release_that_is_given_comes_before_that_of_the_configuration() -> None:
    assert DescribedKernel(config=(CONFIG, "config"), release="5.4.2").version == kernel_version(5, 4, 2)


def test_types_tell_the_lowest_release_where_nothing_else_does() -> None:
    kernel = DescribedKernel(types_with("BPF_MAP_CREATE", "BPF_TOKEN_CREATE"))
    assert kernel.version == 0
    assert kernel.has(Feature.BTF_QMARK_DATASEC)
    assert not kernel.has(Feature.UPROBE_MULTI_LINK)


def test_system_calls_are_wrapped_if_the_configuration_says_so() -> None:
    wrapped = f"{CONFIG}CONFIG_ARCH_HAS_SYSCALL_WRAPPER=y\n"
    assert DescribedKernel(config=(wrapped, "")).has(Feature.SYSCALL_WRAPPER)
    assert not DescribedKernel(config=(CONFIG, "")).has(Feature.SYSCALL_WRAPPER)


def test_a_kernel_without_anything_says_so() -> None:
    kernel: Kernel = DescribedKernel()
    assert kernel.types is None
    assert kernel.config() is None
    assert kernel.modules() == ()
    assert kernel.addresses(["_stext"]) == {"_stext": set()}
    assert not any(kernel.has(feature) for feature in Feature)


def test_symbols_have_the_addresses_of_the_list() -> None:
    kernel = DescribedKernel(
        kallsyms=b"""\
0000000000000010 T twice
0000000000000020 t twice	[module]
0000000000000030 d data.llvm.1234
0000000000000040 t text.llvm.1234
0000000000000050 T text_and_more
0000000000000060 T module_text	[module]
"""
    )
    assert kernel.addresses(["twice", "data", "text", "module_text", "no.such"]) == {
        "twice": {0x10, 0x20},
        "data": {0x30},
        "text": set(),
        "module_text": {0x60},
        "no.such": set(),
    }


def test_a_configuration_may_be_compressed() -> None:
    assert decoded_config(gzip.compress(CONFIG.encode())) == CONFIG
    assert decoded_config(CONFIG.encode()) == CONFIG


def test_damaged_compression_is_an_error_of_the_file() -> None:
    packed = gzip.compress(CONFIG.encode())
    for damaged in (packed[:40], packed[:20] + b"\xff" * 20 + packed[40:]):
        with pytest.raises(OSError):
            decoded_config(damaged)


def test_options_are_found_whole() -> None:
    assert option(CONFIG, "CONFIG_BPF") == "y"
    assert option(CONFIG, "CONFIG_HZ") == "250"
    assert option(CONFIG, "CONFIG_BPF_SYSCALL") is None
    assert option(CONFIG, "CONFIG_BPF_JIT") is None
    assert release_in("CONFIG_X=y") == ""
