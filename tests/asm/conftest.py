"""What the assembler's tests share: programs compiled ahead of the tests that need them."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.asm.compilers import Case, Compiled, compile_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def compiled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Case], Compiled]]:
    """A function that gives what compiling a case gave; the cases of all tests to come are begun at once."""
    folder = tmp_path_factory.mktemp("compiled")
    callspecs = [item.callspec for item in request.session.items if hasattr(item, "callspec")]
    cases = dict.fromkeys(case for spec in callspecs if isinstance(case := spec.params.get("case"), Case))
    pool = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))
    begun = {case: pool.submit(compile_case, case, folder / str(number)) for number, case in enumerate(cases)}

    def result(case: Case) -> Compiled:
        case.compiler.require()
        return begun[case].result()

    yield result
    pool.shutdown(cancel_futures=True)
