"""The programs of an object as the text of Python: the class that attaches each, and what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.gen.python.text import Call, quoted
from bpfas.loader.kinds import NO_ATTACH_TYPE, AttachType, ProgramType
from bpfas.loader.sections import AutoAttach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.loader.gen.loader_program import ProgramEntry
    from bpfas.loader.spec import ProgramSpec

_P, _A, _H = ProgramType, AttachType, AutoAttach


class _Way(NamedTuple):
    """A class of programs in one of the parts: for these program types, attach types (any if none are given), and
    where `auto` says so for sections that are attached like that.
    """

    name: str
    part: str
    program_types: tuple[ProgramType, ...]
    attach_types: tuple[AttachType, ...] = ()
    auto: AutoAttach | None = None

    def takes(self, spec: ProgramSpec) -> bool:
        """Whether the class is for this program."""
        return (
            spec.program_type in self.program_types
            and (not self.attach_types or spec.expected_attach_type in self.attach_types)
            and self.auto in (None, spec.kind.auto_attach)
        )


_TRAMPOLINES = (_A.TRACE_RAW_TP, _A.TRACE_FENTRY, _A.TRACE_FEXIT, _A.MODIFY_RETURN, _A.TRACE_FSESSION)
_MULTI_KPROBES = (_A.TRACE_KPROBE_MULTI, _A.TRACE_KPROBE_SESSION)
_CGROUP_TYPES = (
    _P.CGROUP_SKB,
    _P.CGROUP_SOCK,
    _P.CGROUP_SOCK_ADDR,
    _P.CGROUP_DEVICE,
    _P.CGROUP_SYSCTL,
    _P.CGROUP_SOCKOPT,
    _P.SOCK_OPS,
)

_WAYS = (
    _Way("KsyscallProgram", "attach_events", (_P.KPROBE,), (NO_ATTACH_TYPE,), _H.KSYSCALL),
    _Way("UprobeProgram", "attach_uprobe", (_P.KPROBE,), (NO_ATTACH_TYPE,), _H.UPROBE),
    _Way("KprobeProgram", "attach_events", (_P.KPROBE,), (NO_ATTACH_TYPE,), _H.KPROBE),
    _Way("KprobeProgram", "attach_events", (_P.KPROBE,), (NO_ATTACH_TYPE,), _H.NONE),
    _Way("KprobeMultiProgram", "attach_kprobe_multi", (_P.KPROBE,), _MULTI_KPROBES),
    _Way("TracepointProgram", "attach_events", (_P.TRACEPOINT,)),
    _Way("RawTracepointProgram", "attach_raw_tracepoint", (_P.RAW_TRACEPOINT, _P.RAW_TRACEPOINT_WRITABLE)),
    _Way("SampleProgram", "attach_events", (_P.PERF_EVENT,)),
    _Way("TraceProgram", "attach_trace", (_P.TRACING,), _TRAMPOLINES),
    _Way("IteratorProgram", "attach_iterator", (_P.TRACING,), (_A.TRACE_ITER,)),
    _Way("TraceProgram", "attach_trace", (_P.LSM,), (_A.LSM_MAC,)),
    _Way("CgroupProgram", "attach_directory", (_P.LSM,), (_A.LSM_CGROUP,)),
    _Way("ReplacingProgram", "freplace", (_P.EXT,)),
    _Way("XdpProgram", "attach_xdp", (_P.XDP,), (_A.XDP, NO_ATTACH_TYPE)),
    _Way("TcxProgram", "attach_tcx", (_P.SCHED_CLS,)),
    _Way("CgroupProgram", "attach_directory", _CGROUP_TYPES),
    _Way("SockmapProgram", "attach_sockmap", (_P.SK_SKB, _P.SK_MSG)),
    _Way("NetnsProgram", "attach_directory", (_P.FLOW_DISSECTOR, _P.SK_LOOKUP)),
    _Way("NetfilterProgram", "attach_netfilter", (_P.NETFILTER,)),
)
"""What the parts attach."""

_SOCKET = "give it to a socket: sock.setsockopt(socket.SOL_SOCKET"
_ROUTE = "pin it, then: ip route add ... encap bpf"
_LOADER = "bpf-load attach OBJ PROGRAM of bpf-as does"
_BY_ATTACH_TYPE = {
    _A.XDP_DEVMAP: "put its descriptor (fd) into a value of the map of devices, behind the interface's index",
    _A.XDP_CPUMAP: "put its descriptor (fd) into a value of the map of CPUs, behind the size of the queue",
}
_BY_TYPE = {
    _P.KPROBE: _LOADER,
    _P.TRACING: _LOADER,
    _P.SOCKET_FILTER: f"{_SOCKET}, 50, program.fd)  # SO_ATTACH_BPF",
    _P.SK_REUSEPORT: f"{_SOCKET}, 52, program.fd)  # SO_ATTACH_REUSEPORT_EBPF",
    _P.SCHED_ACT: "pin it, then: tc filter add ... action bpf object-pinned PATH",
    _P.LWT_IN: f"{_ROUTE} in pinned PATH dev IF",
    _P.LWT_OUT: f"{_ROUTE} out pinned PATH dev IF",
    _P.LWT_XMIT: f"{_ROUTE} xmit pinned PATH dev IF",
    _P.LWT_SEG6LOCAL: "pin it, then: ip -6 route add ... encap seg6local action End.BPF endpoint pinned PATH",
    _P.LIRC_MODE2: f"{_LOADER}, by BPF_PROG_ATTACH to the device of a receiver",
    _P.STRUCT_OPS: "attach the map of section .struct_ops that calls it",
    _P.SYSCALL: "run it: test_run(context=...)",
}


def program_expression(entry: ProgramEntry, facts: Mapping[tuple[FactKind, str], int]) -> tuple[Call, str]:
    """What makes a program, and the part that this takes."""
    spec = entry.spec
    start = (quoted(spec.name), str(entry.offset), quoted(spec.section))
    not_loaded = () if entry.is_loaded else ("is_loaded=False",)
    way = next((way for way in _WAYS if way.takes(spec)), None)
    if way is None:
        remedy = _BY_ATTACH_TYPE.get(AttachType(spec.expected_attach_type)) if _is_known(spec) else None
        remedy = remedy or _BY_TYPE.get(spec.program_type, _LOADER)
        only_run = ("is_attachable=False",) if spec.program_type == _P.SYSCALL else ()
        return Call("other_program", (*start, quoted(remedy), *not_loaded, *only_run)), "attach_elsewhere"
    arguments = [*start, quoted(spec.attach_target), str(int(spec.expected_attach_type))]
    if way.name == "ReplacingProgram":
        kinds = (FactKind.TARGET, FactKind.TARGET_TYPE)
        arguments += [str(facts.get((kind, spec.name), 0)) for kind in kinds]
    return Call(way.name, (*arguments, *not_loaded)), way.part


def _is_known(spec: ProgramSpec) -> bool:
    return spec.expected_attach_type in set(AttachType)
