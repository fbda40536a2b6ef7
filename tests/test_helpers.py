"""The table of helpers: sound in itself, and equal to the kernel's headers and to what the running kernel has."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from bpfas.helpers import HELPERS, HELPERS_BY_NUMBER, LATEST_RELEASE

from .peers import Peer

HEADER = Path("/usr/include/linux/bpf.h")
VERSION_HEADER = Path("/usr/include/linux/version.h")
KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")

Release = tuple[int, int]


def release(text: str) -> Release:
    """`5.8` or `6.1.0-53-amd64` as a pair of numbers."""
    match = re.match(r"(\d+)\.(\d+)", text)
    assert match, text
    return int(match[1]), int(match[2])


def helpers_of(kernel: Release) -> dict[str, int]:
    """The table's names and numbers up to a release."""
    return {helper.name: helper.number for helper in HELPERS.values() if release(helper.since) <= kernel}


def test_numbers_are_without_gaps_and_names_are_whole() -> None:
    assert [helper.number for helper in HELPERS.values()] == list(range(1, 212))
    assert all(name == helper.name and re.fullmatch(r"bpf_[a-z0-9_]+", name) for name, helper in HELPERS.items())
    assert all(HELPERS_BY_NUMBER[helper.number] is helper for helper in HELPERS.values())


def test_every_release_is_one_that_was_made() -> None:
    made = [
        *(f"3.{minor}" for minor in (18, 19)),
        *(f"4.{minor}" for minor in range(21)),
        *(f"5.{minor}" for minor in range(20)),
        *(f"6.{minor}" for minor in range(19)),
    ]
    assert made[-1] == LATEST_RELEASE
    assert {helper.since for helper in HELPERS.values()} <= set(made)


def test_releases_never_fall_as_numbers_rise() -> None:
    releases = [release(helper.since) for helper in HELPERS.values()]
    assert all(earlier <= later for earlier, later in pairwise(releases))


@pytest.mark.parametrize(
    ("name", "number", "since"),
    [
        ("bpf_map_lookup_elem", 1, "3.19"),
        ("bpf_map_delete_elem", 3, "3.19"),
        ("bpf_get_prandom_u32", 7, "4.1"),
        ("bpf_tail_call", 12, "4.2"),
        ("bpf_redirect", 23, "4.4"),
        ("bpf_skb_load_bytes", 26, "4.5"),
        ("bpf_xdp_adjust_head", 44, "4.10"),
        ("bpf_fib_lookup", 69, "4.18"),
        ("bpf_spin_lock", 93, "5.1"),
        ("bpf_send_signal", 109, "5.3"),
        ("bpf_tcp_gen_syncookie", 110, "5.4"),
        ("bpf_probe_read_kernel_str", 115, "5.5"),
        ("bpf_tcp_send_ack", 116, "5.6"),
        ("bpf_jiffies64", 118, "5.6"),
        ("bpf_read_branch_records", 119, "5.7"),
        ("bpf_sk_assign", 124, "5.7"),
        ("bpf_ktime_get_boot_ns", 125, "5.8"),
        ("bpf_ringbuf_output", 130, "5.8"),
        ("bpf_timer_init", 169, "5.15"),
        ("bpf_loop", 181, "5.17"),
        ("bpf_kptr_xchg", 194, "5.19"),
        ("bpf_user_ringbuf_drain", 209, "6.1"),
        ("bpf_cgrp_storage_get", 210, "6.2"),
    ],
)
def test_well_known_helpers(name: str, number: int, since: str) -> None:
    assert (HELPERS[name].number, HELPERS[name].since) == (number, since)


@pytest.mark.peer
def test_a_release_has_the_helpers_that_its_header_names() -> None:
    if not (HEADER.exists() and VERSION_HEADER.exists()):
        pytest.skip(f"{HEADER} is not installed")
    version = {
        name: int(value) for name, value in re.findall(r"LINUX_VERSION_(\w+) (\d+)", VERSION_HEADER.read_text())
    }
    kernel = (version["MAJOR"], version["PATCHLEVEL"])
    if kernel > release(LATEST_RELEASE):
        pytest.skip(f"{HEADER} is of Linux {kernel[0]}.{kernel[1]}, the table of {LATEST_RELEASE}")
    # The lines of a macro: FN(name) up to 6.1, FN(name, number, …) from 6.2.
    names = re.findall(r"^\s+FN\((\w+)[,)]", HEADER.read_text(), re.MULTILINE)
    in_header = {f"bpf_{name}": number for number, name in enumerate(names) if name != "unspec"}
    assert in_header == helpers_of(kernel)


@pytest.mark.peer
def test_the_running_kernel_has_the_helpers_of_its_release() -> None:
    if not KERNEL_BTF.exists():
        pytest.skip("the running kernel has no BTF")
    text = Peer.BPFTOOL.run("btf", "dump", "file", KERNEL_BTF, "format", "raw").text
    found = re.findall(r"'BPF_FUNC_(\w+)' val=(\d+)", text)
    in_kernel = {f"bpf_{name}": int(number) for name, number in found if name != "unspec"}
    kernel = release(os.uname().release)
    # Distributions give older kernels some newer helpers, always the numbers that follow.
    assert helpers_of(kernel).items() <= in_kernel.items()
    if kernel <= release(LATEST_RELEASE):
        assert in_kernel.items() <= helpers_of(release(LATEST_RELEASE)).items()
