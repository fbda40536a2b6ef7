"""A program in the kernel: what the kernel says of it, and running it on given input.

Source for what BPF_PROG_TEST_RUN takes: the kernel's document bpf_prog_run.rst and its behaviour by type.
"""

from __future__ import annotations

import enum
import errno
import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar, cast, overload

from bpfas.loader import syscall
from bpfas.loader.errors import KernelError, Step, explain, kernel_error
from bpfas.loader.kinds import ProgramType, program_type_name
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.opening import ObjectKind, types_of
from bpfas.loader.runtime.owned import OwnedObject, no_information
from bpfas.loader.spec import ProgramSpec

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable

    from bpfas.btf.btf import Btf
    from bpfas.btf.codecs import Buffer
    from bpfas.loader.attach.iterator import IteratorLink
    from bpfas.loader.attach.link import Link
    from bpfas.loader.syscall import ProgramCode, ProgramInfo

T = TypeVar("T")

OUTPUT_SPARE = 4096
"""By how many bytes the output of a test run may be longer than its input if the caller names no size."""
MINIMAL_PACKET = 14
"""Bytes of an Ethernet header, which programs that get packets are not run without."""


_STREAM_PIECE = 1 << 16
_INVALID_FLAGS = Explanation(
    "the kernel does not run a program of this type with these flags, CPU, packet and context",
    "XDP_LIVE_FRAMES is for XDP, SKB_CHECKSUM_COMPLETE for what gets an skb, a CPU for raw tracepoints",
)


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


class _TestRunResult(NamedTuple):
    retval: int
    data: bytes
    duration_ns: int
    context: bytes = b""


class TestRunResult(_TestRunResult):
    """What a test run gave: the return value (of the last run), the packet and the context as they were left.

    `duration_ns` is the mean time of a run; 0 for types that the kernel does not time.
    """

    __slots__ = ()
    __test__ = False  # not a test case, whatever pytest makes of the name


class TestRunFlag(enum.IntFlag):
    """BPF_F_TEST_RUN_ON_CPU, BPF_F_TEST_XDP_LIVE_FRAMES, BPF_F_TEST_SKB_CHECKSUM_COMPLETE."""

    __test__ = False

    ON_CPU = 1
    XDP_LIVE_FRAMES = 2
    SKB_CHECKSUM_COMPLETE = 4


NO_TEST_RUN_FLAGS = TestRunFlag(0)


class Program(OwnedObject):
    """A loaded program and its descriptor, which it closes in `close()`; a context manager, which does that too.

    `instruction_count` counts slots of 8 bytes as given to the kernel, of a program that was opened as the kernel
    has them. What the kernel refuses is a KernelError. One that is dropped without being closed is closed then.
    """

    kind = ObjectKind.PROGRAM

    def __init__(self, spec: ProgramSpec, fd: int) -> None:
        self.spec = spec
        self.log = ""
        """What the verifier said of it, if it was asked to."""
        self.name = spec.name
        self.section = spec.section
        self.type = spec.program_type
        self.instruction_count = spec.instruction_count
        self._fd = fd

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """The program of a descriptor, which becomes the Program's (it is closed also on failure)."""
        try:
            info = syscall.prog_info(fd)
            instructions = syscall.prog_xlated(fd)
        except OSError as error:
            raise no_information(fd, error) from error
        type_ = ProgramType(info.type) if info.type in set(ProgramType) else cast("ProgramType", info.type)
        return cls(ProgramSpec(info.name, info.name, "", type_, instructions), fd)

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Program {self.name!r}: {program_type_name(self.type)}, fd {self._fd}>"

    def close(self) -> None:
        """Close the descriptor; the kernel drops the program when nothing else refers to it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def info(self) -> ProgramInfo:
        """What the kernel says of the program: id, tag, sizes, verified instructions."""
        return self._asked(syscall.prog_info)

    @property
    def id(self) -> int:
        """The number by which the kernel lists the program."""
        return self.info().id

    def map_ids(self) -> list[int]:
        """The ids of the maps that the program uses."""
        return self._asked(syscall.prog_map_ids)

    def translated(self) -> bytes:
        """The instructions as the kernel has them after verification; empty if this process may not know."""
        return self._asked(syscall.prog_xlated)

    def code(self) -> ProgramCode:
        """The same with the machine code, and with where functions and lines of the source begin."""
        return self._asked(syscall.prog_code)

    def types(self) -> Btf | None:
        """The types that the program was loaded with, as the kernel has them."""
        return types_of(self.info().btf_id, f"program {self.name}")

    @overload
    def attach(self, *, way: Literal["iterator"], **how: Any) -> IteratorLink: ...
    @overload
    def attach(self, *, way: str | None = None, **how: Any) -> Link: ...
    def attach(self, *, way: str | None = None, **how: Any) -> Link:
        """Attach the program as its section says, or as `way` and `how` do (`bpfas.loader.attach.table.attach`).

        What is attached ends with the Link, which is a context manager. Raises AttachError.
        """
        from bpfas.loader.attach.table import attach  # the ways of attaching are many modules

        return attach(self, way=way, **how)

    def stdout(self) -> bytes:
        """What the program has printed with bpf_stream_printk to its stdout since this was last asked for.

        Linux 6.17 and later.
        """
        return self._stream(1)

    def stderr(self) -> bytes:
        """What the program has printed to its stderr, or the kernel has to say of its faults."""
        return self._stream(2)

    def _stream(self, number: int) -> bytes:
        parts = []
        try:
            while part := syscall.prog_stream_read(self._fd, number, _STREAM_PIECE):
                parts.append(part)
        except OSError as error:
            errno_ = errno.EBADF if self._fd < 0 else error.errno or 0
            explanation = explain(Step.READ_STREAM, errno_)
            raise KernelError(Step.READ_STREAM, f"program {self.name}", errno_, explanation) from error
        return b"".join(parts)

    def _asked(self, question: Callable[[int], T]) -> T:
        try:
            return question(self._fd)
        except OSError as error:
            raise kernel_error(Step.GET_INFO, f"program {self.name}", error) from error

    def test_run(
        self,
        data_in: Buffer | ctypes.Structure = b"",
        repeat: int = 1,
        ctx: Buffer | ctypes.Structure | None = None,
        data_size_out: int | None = None,
        *,
        ctx_size_out: int | None = None,
        flags: TestRunFlag = NO_TEST_RUN_FLAGS,
        cpu: int | None = None,
        batch_size: int = 0,
    ) -> TestRunResult:
        """Run the program `repeat` times on the packet `data_in` and the context `ctx`.

        Types that get packets want at least 14 bytes; types that get none (syscall, raw tracepoints, sk_lookup,
        tracing) must not be given any, and those that the kernel does not time not be repeated. The program
        may lengthen the packet up to `data_size_out` bytes (default: by OUTPUT_SPARE). The context comes back if
        one is given, `ctx_size_out` bytes of it where that is said. `cpu` is where raw tracepoints are run. With
        XDP_LIVE_FRAMES packets go where the program sends them, `batch_size` at a time, and none comes back.
        """
        if not 1 <= repeat < 1 << 31:
            raise ValueError(f"repeat is {repeat}, not in the range 1 to {(1 << 31) - 1}")
        takes = _INPUTS.get(self.type, _Input.PACKET)
        packet, context = bytes(data_in), b"" if ctx is None else bytes(ctx)
        self._check_input(takes, packet, context, repeat)
        is_live = bool(flags & TestRunFlag.XDP_LIVE_FRAMES)
        size_out = len(packet) + OUTPUT_SPARE if data_size_out is None else data_size_out
        if takes is not _Input.PACKET or is_live:
            size_out = 0
        if ctx_size_out is None:
            ctx_size_out = len(context) if takes is _Input.PACKET and not is_live else 0
        if cpu is not None:
            flags |= TestRunFlag.ON_CPU
        try:
            result = syscall.prog_test_run(
                self._fd,
                packet,
                size_out,
                context,
                ctx_size_out,
                repeat if takes in (_Input.PACKET, _Input.CONTEXT_AND_RUNS) else 0,
                flags=int(flags),
                cpu=cpu or 0,
                batch_size=batch_size,
            )
        except syscall.OutputTooSmallError as error:
            cause = f"the packet that comes out has {error.needed} bytes; there was room for {size_out}"
            raise self._error(errno.ENOSPC, cause, "ask for a larger data_size_out") from error
        except OSError as error:
            number = error.errno or 0
            explanation = explain(Step.RUN_PROGRAM, number, (self.type,))
            if number == errno.EINVAL and not flags:
                explanation = _invalid_input(self.type, takes, packet, context)
            elif number == errno.EINVAL:
                explanation = _INVALID_FLAGS
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
