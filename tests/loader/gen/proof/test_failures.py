"""What fails in the middle leaves nothing open, and tells the step, the errno, and all of the kernel's log."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.loader import LoadError, load, open_image
from bpfas.loader.gen import generate
from bpfas.loader.gen.c.header import c_header
from bpfas.loader.gen.python.module import python_module
from bpfas.loader.gen.running.runner import run
from tests.loader.gen.proof.executables import executable
from tests.loader.gen.proof.failing import FAILING, Failing
from tests.loader.gen.proof.processes import Waiting
from tests.loader.gen.proof.ways import BARE_PYTHON, MODULE_USER
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.peer,
    pytest.mark.usefixtures("no_leaks"),
    needs(Need.BTF),
    pytest.mark.parametrize("what", FAILING, ids=str),
]

LOG_SIZE = 1 << 20


def log_of(what: Failing, said: Sequence[str]) -> list[str]:
    """The kernel's log in what a process has said, which is to be the right error."""
    kind, number, *step = said[0].split(" ")
    assert kind == "error"
    assert errno.errorcode[abs(int(number))] == what.errno
    assert what.subject in " ".join(step)
    return [line.removeprefix("log ") for line in said if line.startswith("log ")]


def check_log(what: Failing, log: Sequence[str]) -> None:
    """It is whole, and what the kernel says when the object is loaded directly."""
    assert what.log in "\n".join(log)
    try:
        load(open_image(what.path)).close()
    except LoadError as error:
        # Some lines have addresses; empty ones are not said by all.
        log, expected = ([*filter(None, lines)] for lines in (log, error.log.splitlines()))
        assert (len(log), log[:1], log[-2:]) == (len(expected), expected[:1], expected[-2:])
    except BpfasError:
        assert log == []  # we look names up ourselves


def test_by_our_runner(what: Failing) -> None:
    with pytest.raises(LoadError) as caught:
        run(generate(open_image(what.path)))
    assert caught.value.errno_name == what.errno
    assert what.subject in caught.value.subject
    assert " of the loader program: " in str(caught.value)
    check_log(what, caught.value.log.splitlines())


@pytest.mark.any_kernel
def test_by_the_python_module(what: Failing, tmp_path: Path) -> None:
    path = tmp_path / "made.py"
    path.write_text(python_module(generate(open_image(what.path))))
    with Waiting([BARE_PYTHON, "-I", "-S", MODULE_USER, path]) as process:
        check_log(what, log_of(what, process.said()))
        assert process.open_descriptors() == []


@pytest.mark.any_kernel
def test_by_the_c_header(what: Failing) -> None:
    command = executable(what.name, c_header(generate(open_image(what.path)), what.name))
    with Waiting([command, str(LOG_SIZE)]) as process:
        log = log_of(what, process.said())
        if what.log:  # else there is what the kernel has said of the last step that has a log, as by libbpf
            check_log(what, log)
        assert process.open_descriptors() == []
        process.go_on()
        assert process.open_descriptors() == []
