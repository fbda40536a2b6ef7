"""What tests of linked programs share: objects compiled ahead, and the program that runs them by libbpf."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.link.libbpf import compile_runner
from tests.link.linked_programs import Build, Workshop
from tests.link.program_sets import ProgramSet

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that runs objects by libbpf."""
    return compile_runner(tmp_path_factory.mktemp("runner"))


@pytest.fixture(scope="session")
def workshop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Objects of the sets; those that the tests of this session ask for are made at once."""
    workshop = Workshop(tmp_path_factory.mktemp("programs"))
    wanted = set()
    for item in request.session.items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        sets = [value for value in parameters if isinstance(value, ProgramSet)]
        builds = [value for value in parameters if isinstance(value, Build)] or [Build()]
        wanted |= {(program_set, build) for program_set in sets for build in builds}
    workshop.make_ahead(sorted(wanted, key=str))
    return workshop
