"""What all tests share: hypothesis finds the same examples in every run, unless asked for more of them.

`--hypothesis-profile=thorough` looks further, with new examples each time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from bpfas.loader import syscall
from bpfas.loader.errors import errno_name
from bpfas.loader.kinds import MapType, ProgramType
from bpfas.loader.privilege import missing_capabilities, read_situation
from tests.loader.kernel_support import require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "thorough", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")


def why_no_bpf() -> str:
    """Why this process may not use bpf(2); empty if it may."""
    missing = missing_capabilities(read_situation(), [ProgramType.XDP, ProgramType.KPROBE])
    if missing:
        return f"lacks {', '.join(missing)}"
    try:
        os.close(syscall.map_create("probe", MapType.ARRAY, 4, 4, 1))
    except OSError as error:
        return f"bpf(2) gives {errno_name(error.errno or 0)}"
    return ""


WHY_NO_BPF = why_no_bpf()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `kernel` where bpf(2) is not permitted, and others for what the kernel lacks, by name."""
    if item.get_closest_marker("kernel") and WHY_NO_BPF:
        pytest.skip(WHY_NO_BPF)
    for marker in item.iter_markers("needs"):
        require(*marker.args)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes the expected texts of golden tests anew."""
    parser.addoption("--update-golden", action="store_true", help="write the expected texts of golden tests anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a file's, or with --update-golden make it the file's."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert text == path.read_text()

    return check
