"""The kernel's verifier takes every loader program, also those by chance; nothing is run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import syscall
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.loader_program import LICENSE, Scheme
from bpfas.loader.kinds import MapType, ProgramFlag, ProgramType
from bpfas.loader.syscall import LogBuffer, ProgramLoad
from tests.loader.gen.machine import images
from tests.loader.gen.machine.test_byte_orders import cooked, recipes
from tests.loader.gen.machine.test_large import large

if TYPE_CHECKING:
    from bpfas.loader.gen.loader_program import LoaderProgram

pytestmark = pytest.mark.kernel

LOG_SIZE = 1 << 20


def check(program: LoaderProgram) -> None:
    """Load a loader program, without running it; fails with the verifier's words."""
    data = syscall.map_create("__loader.map", MapType.ARRAY, 4, len(program.data), 1)
    load = ProgramLoad(
        "__loader.prog",
        ProgramType.SYSCALL,
        program.instructions,
        LICENSE.encode(),
        flags=ProgramFlag.SLEEPABLE,
        fd_array=(data,),
    )
    try:
        os.close(syscall.prog_load(load))
    except OSError as error:
        log = LogBuffer(LOG_SIZE)
        try:
            os.close(syscall.prog_load(load, log))
        except OSError:
            pytest.fail(f"{error}\n{log.text[-2000:]}")
    finally:
        os.close(data)


@pytest.mark.parametrize("name", images.MADE)
def test_made(name: str) -> None:
    image = images.made(name, HOST_ORDER)
    check(generate(image))
    check(generate(image, GenOptions(token=True, debug=True)))


@pytest.mark.parametrize("name", ["data", "prog_array", "names"])
def test_signed(name: str) -> None:
    check(generate(images.made(name, HOST_ORDER), GenOptions(scheme=Scheme.INSTRUCTIONS_AND_DATA)))


@given(recipes())
def test_by_chance(recipe: dict[str, object]) -> None:
    check(generate(cooked(recipe, HOST_ORDER)))


def test_large() -> None:
    check(generate(large(HOST_ORDER)))
