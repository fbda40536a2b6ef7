"""A program in the kernel: what the kernel says of it, and running it on given input.

Source for what BPF_PROG_TEST_RUN takes: the kernel's document bpf_prog_run.rst and its behaviour by type.
"""

from __future__ import annotations

import enum
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import KernelError, Step, explain
from bpfas.loader.kinds import ProgramType, program_type_name
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.spec import ProgramSpec
    from bpfas.loader.syscall import ProgramInfo

OUTPUT_SPARE = 4096
"""By how many bytes the output of a test run may be longer than its input if the caller names no size."""
MINIMAL_PACKET = 14
"""Bytes of an Ethernet header, which programs that get packets are not run without."""


class _Input(enum.Enum):
    """What a test run takes; RUNS stands for a repeat count and a duration."""

    PACKET = enum.auto()
    CONTEXT_AND_RUNS = enum.auto()
    CONTEXT = enum.auto()
    NOTHING = enum.auto()


_INPUTS = {
    ProgramType.SYSCALL: _Input.CONTEXT,
    ProgramType.RAW_TRACEPOINT: _Input.CONTEXT,
    ProgramType.RAW_TRACEPOINT_WRITABLE: _Input.CONTEXT,
    ProgramType.TRACING: _Input.NOTHING,
    ProgramType.SK_LOOKUP: _Input.CONTEXT_AND_RUNS,
}


@dataclass(frozen=True, slots=True)
class TestRunResult:
    """What a test run gave: the return value (of the last run), the packet and the context as they were left.

    `duration_ns` is the mean time of a run; 0 for types that the kernel does not time.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    retval: int
    data: bytes
    duration_ns: int
    context: bytes = b""


class Program:
    """A loaded program and its descriptor, which it closes in `close()`.

    `instruction_count` counts slots of 8 bytes as given to the kernel.
    """

    def __init__(self, spec: ProgramSpec, fd: int) -> None:
        self.spec = spec
        self.log = ""
        """What the verifier said of it, if it was asked to."""
        self.name = spec.name
        self.section = spec.section
        self.type = spec.program_type
        self.instruction_count = spec.instruction_count
        self._fd = fd

    def __repr__(self) -> str:
        return f"<Program {self.name!r}: {program_type_name(self.type)}, fd {self._fd}>"

    def info(self) -> ProgramInfo:
        """What the kernel says of the program: id, tag, sizes, verified instructions."""
        try:
            return syscall.prog_info(self._fd)
        except OSError as error:
            number = error.errno or 0
            explanation = explain(Step.GET_INFO, number)
            raise KernelError(Step.GET_INFO, f"program {self.name}", number, explanation) from error

    @property
    def fd(self) -> int:
        """The descriptor, -1 once the program is closed."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor; the kernel drops the program when nothing else refers to it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def test_run(
        self,
        data_in: bytes = b"",
        repeat: int = 1,
        ctx: bytes | None = None,
        data_size_out: int | None = None,
    ) -> TestRunResult:
        """Run the program `repeat` times on the packet `data_in` and the context `ctx`.

        Types that get packets want at least 14 bytes; types that get none (syscall, raw tracepoints, sk_lookup,
        tracing) must not be given any, and those that the kernel does not time not be repeated. The program
        may lengthen the packet up to `data_size_out` bytes (default: by OUTPUT_SPARE). Raises KernelError.
        """
        if not 1 <= repeat < 1 << 31:
            raise ValueError(f"repeat is {repeat}, not in the range 1 to {(1 << 31) - 1}")
        takes = _INPUTS.get(self.type, _Input.PACKET)
        context = ctx or b""
        self._check_input(takes, data_in, context, repeat)
        if takes is not _Input.PACKET:
            size_out = 0
        elif data_size_out is None:
            size_out = len(data_in) + OUTPUT_SPARE
        else:
            size_out = data_size_out
        try:
            result = syscall.prog_test_run(
                self._fd,
                data_in,
                size_out,
                context,
                len(context) if takes is _Input.PACKET else 0,
                repeat if takes in (_Input.PACKET, _Input.CONTEXT_AND_RUNS) else 0,
            )
        except syscall.OutputTooSmallError as error:
            cause = f"the packet that comes out has {error.needed} bytes; there was room for {size_out}"
            raise self._error(errno.ENOSPC, cause, "ask for a larger data_size_out") from error
        except OSError as error:
            number = error.errno or 0
            explanation = explain(Step.RUN_PROGRAM, number, (self.type,))
            if number == errno.EINVAL:
                explanation = _invalid_input(self.type, takes, data_in, context)
            raise self._error(number, explanation.cause, explanation.remedy) from error
        return TestRunResult(result.retval, result.data, result.duration, result.context)

    def _check_input(self, takes: _Input, data_in: bytes, context: bytes, repeat: int) -> None:
        kind = program_type_name(self.type)
        if takes is not _Input.PACKET and data_in:
            raise self._error(errno.EINVAL, f"programs of type {kind} get no packet", "leave out the data")
        if takes is _Input.NOTHING and context:
            raise self._error(errno.EINVAL, f"programs of type {kind} get no context", "leave out the context")
        if takes in (_Input.CONTEXT, _Input.NOTHING) and repeat != 1:
            raise self._error(errno.EINVAL, f"programs of type {kind} are run once", "leave out the repeat count")

    def _error(self, number: int, cause: str, remedy: str) -> KernelError:
        return KernelError(Step.RUN_PROGRAM, f"program {self.name}", number, Explanation(cause, remedy))


def _invalid_input(program_type: ProgramType, takes: _Input, data_in: bytes, context: bytes) -> Explanation:
    """What is probably wrong with the input of a test run that the kernel called invalid."""
    kind = program_type_name(program_type)
    if takes is _Input.PACKET and len(data_in) < MINIMAL_PACKET:
        return Explanation(
            f"programs of type {kind} are run on a packet of at least {MINIMAL_PACKET} bytes "
            f"(an Ethernet header); this one has {len(data_in)}",
            "give a packet (bpf-load run: --data-in)",
        )
    if takes is not _Input.PACKET:
        return Explanation(
            f"the kernel does not run a program of type {kind} with a context of {len(context)} bytes",
            "give a context (bpf-load run: --ctx-in) as long as what the program reads of it",
        )
    if context:
        return Explanation(
            f"the kernel does not take this context of {len(context)} bytes with a packet of {len(data_in)}",
            "leave out the context, or set only the fields that may be set",
        )
    return Explanation(
        f"the kernel does not take this packet of {len(data_in)} bytes for a program of type {kind}",
        "a packet whose EtherType says IPv4 or IPv6 needs that header whole (34 or 54 bytes in all), and kernels "
        "limit the length to a page less headroom, except for XDP programs with frags",
    )
