"""What tests are told of the kernel."""

from __future__ import annotations

import os
import re

import pytest

from bpfas.loader.kinds import MapType, ProgramType
from tests.loader.kernel_support import Need, kfunc, map_type, needs, program_type, require, what_is_wrong

pytestmark = pytest.mark.kernel


def test_what_is_there_is_no_problem() -> None:
    assert what_is_wrong(map_type(MapType.ARRAY)) == ""
    assert what_is_wrong(program_type(ProgramType.XDP)) == ""


@pytest.mark.usefixtures("no_leaks")
def test_what_is_missing_is_told() -> None:
    release = os.uname().release
    kind = program_type(ProgramType.CGROUP_SOCK_ADDR, 1000)
    words = "programs of the type CGROUP_SOCK_ADDR with the attach type 1000"
    assert what_is_wrong(kind) == f"kernel {release} has no {words}: loading one gives EINVAL"
    with pytest.raises(
        pytest.skip.Exception, match=re.escape(f"kernel {release} has no function no_such_function: /sys")
    ):
        require(kfunc("no_such_function"))


@needs(kfunc("no_such_function"))
def test_a_test_that_needs_what_is_missing_does_not_run() -> None:
    raise AssertionError


def test_every_need_can_be_tried() -> None:
    for requirement in vars(Need).values():
        if hasattr(requirement, "problem"):
            what_is_wrong(requirement)
