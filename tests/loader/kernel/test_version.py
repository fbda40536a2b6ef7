"""A kernel's version out of what it says of itself."""

from __future__ import annotations

import pytest

from bpfas.loader.kernel.version import discover_version, kernel_version, parse_version, release_text, version_text


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.18.44-fc-v669", (6, 18, 44)),
        ("6.1.0-13-amd64", (6, 1, 0)),
        ("5.4.300", (5, 4, 255)),
        ("6.19-rc1", (6, 19, 0)),
    ],
)
def test_a_release_begins_with_the_version(release: str, version: tuple[int, int, int]) -> None:
    assert parse_version(release) == kernel_version(*version)


def test_text_that_begins_with_no_version_gives_none() -> None:
    assert parse_version("linux-6.1") == 0


def test_a_version_is_three_numbers() -> None:
    assert version_text(kernel_version(6, 1, 112)) == "6.1.112"
    assert release_text(kernel_version(6, 10)) == "6.10"


def test_debian_tells_the_upstream_version_beside_its_own() -> None:
    told = discover_version("6.1.0-13-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29)", "")
    assert told == kernel_version(6, 1, 55)


def test_ubuntu_tells_the_upstream_version_in_a_file() -> None:
    told = discover_version("5.4.0-12-generic", "#15-Ubuntu SMP", "Ubuntu 5.4.0-12.15-generic 5.4.8\n")
    assert told == kernel_version(5, 4, 8)


def test_the_release_counts_where_nothing_else_is_told() -> None:
    assert discover_version("6.18.44-fc", "#1 SMP @0", "nonsense") == kernel_version(6, 18, 44)
