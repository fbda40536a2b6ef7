"""Types of programs, each tried by loading a program that returns at once.

Those that are loaded for something in the kernel's BTF are loaded for a function that is there for tests, or for
something that every kernel has. Source: include/uapi/linux/bpf.h; releases by the commits that brought the types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind
from bpfas.loader.doctor.finding import Finding, Group, Need, State, tried
from bpfas.loader.doctor.targets import load_for, load_operation, load_replacement
from bpfas.loader.kernel.trial import EXIT, RETURN_0, answer_of, instruction, try_program
from bpfas.loader.kernel.type_files import running_types
from bpfas.loader.kernel.version import running_version
from bpfas.loader.kinds import AttachType, ProgramFlag, ProgramType, program_type_name
from bpfas.loader.syscall import ProgramLoad

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_P, _A = ProgramType, AttachType


class _Row(NamedTuple):
    """A type that needs nothing of BTF: what a program of it is loaded with, and what the type takes."""

    program_type: ProgramType
    need: Need
    attach_type: AttachType = AttachType.CGROUP_INET_INGRESS
    flags: ProgramFlag = ProgramFlag(0)


_CGROUP_BPF = ("CONFIG_CGROUP_BPF",)
_EVENTS = ("CONFIG_BPF_EVENTS",)
_ROWS = (
    _Row(_P.SOCKET_FILTER, Need("3.19", ("CONFIG_NET",))),
    _Row(_P.KPROBE, Need("4.1", _EVENTS)),
    _Row(_P.SCHED_CLS, Need("4.1", ("CONFIG_NET",))),
    _Row(_P.SCHED_ACT, Need("4.1", ("CONFIG_NET",))),
    _Row(_P.TRACEPOINT, Need("4.7", _EVENTS)),
    _Row(_P.XDP, Need("4.8", ("CONFIG_NET",))),
    _Row(_P.PERF_EVENT, Need("4.9", _EVENTS)),
    _Row(_P.CGROUP_SKB, Need("4.10", _CGROUP_BPF)),
    _Row(_P.CGROUP_SOCK, Need("4.10", _CGROUP_BPF), _A.CGROUP_INET_SOCK_CREATE),
    _Row(_P.LWT_IN, Need("4.10", ("CONFIG_NET",))),
    _Row(_P.LWT_OUT, Need("4.10", ("CONFIG_NET",))),
    _Row(_P.LWT_XMIT, Need("4.10", ("CONFIG_NET",))),
    _Row(_P.SOCK_OPS, Need("4.13", _CGROUP_BPF), _A.CGROUP_SOCK_OPS),
    _Row(_P.SK_SKB, Need("4.14", ("CONFIG_NET",))),
    _Row(_P.CGROUP_DEVICE, Need("4.15", _CGROUP_BPF), _A.CGROUP_DEVICE),
    _Row(_P.SK_MSG, Need("4.17", ("CONFIG_NET",)), _A.SK_MSG_VERDICT),
    _Row(_P.RAW_TRACEPOINT, Need("4.17", _EVENTS)),
    _Row(_P.CGROUP_SOCK_ADDR, Need("4.17", _CGROUP_BPF), _A.CGROUP_INET4_CONNECT),
    _Row(_P.LWT_SEG6LOCAL, Need("4.18", ("CONFIG_NET",))),
    _Row(_P.LIRC_MODE2, Need("4.18", ("CONFIG_BPF_LIRC_MODE2",)), _A.LIRC_MODE2),
    _Row(_P.SK_REUSEPORT, Need("4.19", ("CONFIG_INET",)), _A.SK_REUSEPORT_SELECT),
    _Row(_P.FLOW_DISSECTOR, Need("4.20", ("CONFIG_NET",)), _A.FLOW_DISSECTOR),
    _Row(_P.CGROUP_SYSCTL, Need("5.2", _CGROUP_BPF), _A.CGROUP_SYSCTL),
    _Row(_P.RAW_TRACEPOINT_WRITABLE, Need("5.2", _EVENTS)),
    _Row(_P.CGROUP_SOCKOPT, Need("5.3", _CGROUP_BPF), _A.CGROUP_SETSOCKOPT),
    _Row(_P.SK_LOOKUP, Need("5.9", ("CONFIG_INET",)), _A.SK_LOOKUP),
    _Row(_P.SYSCALL, Need("5.14", ("CONFIG_BPF_SYSCALL",)), flags=ProgramFlag.SLEEPABLE),
    _Row(_P.NETFILTER, Need("6.4", ("CONFIG_NETFILTER_BPF_LINK",)), _A.NETFILTER),
)


class _TargetedRow(NamedTuple):
    """A kind of program that is loaded for something in BTF: how, in words, and what it takes."""

    subject: str
    program_type: ProgramType
    words: str
    load: Callable[[], int]
    need: Need


_TRAMPOLINE = ("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",)
_ALLOW = instruction("mov_imm", dst=0, imm=1) + EXIT
_TEST_FUNCTION = "bpf_fentry_test1"
_TARGETED = (
    _TargetedRow(
        "tracing: tp_btf",
        _P.TRACING,
        "a program for the tracepoint task_rename was loaded",
        lambda: load_for(_P.TRACING, _A.TRACE_RAW_TP, "btf_trace_task_rename", Kind.TYPEDEF),
        Need("5.5", _EVENTS),
    ),
    _TargetedRow(
        "tracing: fentry",
        _P.TRACING,
        f"a program for the function {_TEST_FUNCTION} was loaded",
        lambda: load_for(_P.TRACING, _A.TRACE_FENTRY, _TEST_FUNCTION),
        Need("5.5", _TRAMPOLINE),
    ),
    _TargetedRow(
        "tracing: fexit",
        _P.TRACING,
        f"a program for the function {_TEST_FUNCTION} was loaded",
        lambda: load_for(_P.TRACING, _A.TRACE_FEXIT, _TEST_FUNCTION),
        Need("5.5", _TRAMPOLINE),
    ),
    _TargetedRow(
        "tracing: fmod_ret",
        _P.TRACING,
        "a program for the function security_syslog was loaded",
        lambda: load_for(_P.TRACING, _A.MODIFY_RETURN, "security_syslog"),
        Need("5.7", _TRAMPOLINE),
    ),
    _TargetedRow(
        "tracing: iter",
        _P.TRACING,
        "a program for the iterator bpf_map was loaded",
        lambda: load_for(_P.TRACING, _A.TRACE_ITER, "bpf_iter_bpf_map"),
        Need("5.8"),
    ),
    _TargetedRow(
        "struct_ops",
        _P.STRUCT_OPS,
        "a program for ssthresh of tcp_congestion_ops was loaded",
        lambda: load_operation("tcp_congestion_ops", "ssthresh", RETURN_0),
        Need("5.6", ("CONFIG_BPF_JIT",)),
    ),
    _TargetedRow(
        "ext",
        _P.EXT,
        "a program for the function of another program was loaded",
        load_replacement,
        Need("5.6", _TRAMPOLINE),
    ),
    _TargetedRow(
        "lsm",
        _P.LSM,
        "a program for the hook syslog was loaded",
        lambda: load_for(_P.LSM, _A.LSM_MAC, "bpf_lsm_syslog"),
        Need("5.7", ("CONFIG_BPF_LSM",)),
    ),
    _TargetedRow(
        "lsm: cgroup",
        _P.LSM,
        "a program for the hook socket_bind of cgroups was loaded",
        lambda: load_for(_P.LSM, _A.LSM_CGROUP, "bpf_lsm_socket_bind", code=_ALLOW),
        Need("6.0", ("CONFIG_BPF_LSM",)),
    ),
)


def examine_program_types() -> Iterator[Finding]:
    """Each type of programs, loaded."""
    for row in _ROWS:
        yield _examine(row)
    for targeted in _TARGETED:
        if running_types() is None:
            detail, remedy = "the kernel has no BTF", "use a kernel with CONFIG_DEBUG_INFO_BTF=y"
            yield Finding(Group.PROGRAM_TYPES, targeted.subject, State.FAILS, detail, remedy)
            continue
        yield tried(
            Group.PROGRAM_TYPES,
            targeted.subject,
            targeted.words,
            _targeted_trial(targeted),
            targeted.need,
            (targeted.program_type,),
        )


def finding_of_type(program_type: ProgramType) -> Finding | None:
    """Whether the kernel takes any program of a type; None where that cannot be told so."""
    row = next((row for row in _ROWS if row.program_type is program_type), None)
    return _examine(row) if row else None


def _examine(row: _Row) -> Finding:
    """How it is with a type of programs that need no target."""
    name, words = program_type_name(row.program_type), "a program that returns at once was loaded"
    return tried(Group.PROGRAM_TYPES, name, words, _trial(row), row.need, (row.program_type,))


def _trial(row: _Row) -> Callable[[], int]:
    return lambda: try_program(_load(row)).errno


def _targeted_trial(row: _TargetedRow) -> Callable[[], int]:
    return lambda: answer_of(row.load).errno


def _load(row: _Row) -> ProgramLoad:
    return ProgramLoad(
        "",
        row.program_type,
        RETURN_0,
        b"GPL",
        expected_attach_type=row.attach_type,
        flags=row.flags,
        kernel_version=running_version(),
    )
