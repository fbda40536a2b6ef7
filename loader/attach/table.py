"""Which program is attached which way: one table, and `attach`, which looks it up.

A row names the function that attaches. That takes the program and keywords; what a keyword leaves out, the
program's section says, where section names say that. The modules are imported when first used.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.keyword_types import check_value
from bpfas.loader.attach.namespace import within
from bpfas.loader.kinds import NO_ATTACH_TYPE, AttachType, ProgramType, program_type_name
from bpfas.loader.privilege import Explanation
from bpfas.loader.sections import AutoAttach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bpfas.loader.attach.iterator import IteratorLink
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable
    from bpfas.loader.spec import ProgramSpec

NAMESPACE = "netns"
"""The keyword for the network namespace of an interface."""

_P, _A, _H = ProgramType, AttachType, AutoAttach


@dataclass(frozen=True, slots=True)
class Way:
    """A way to attach: `name` is that by which a caller may ask for it, `function` is module:function.

    It is for programs of `types`, with an expected attach type out of `attach_types` where that is not empty.
    `auto` are the sections whose programs go this way without being told to.
    """

    name: str
    function: str
    types: tuple[ProgramType, ...]
    attach_types: tuple[AttachType, ...] = ()
    auto: AutoAttach = AutoAttach.NONE

    def takes(self, spec: ProgramSpec) -> bool:
        """Whether programs like this go this way."""
        return spec.program_type in self.types and (
            not self.attach_types or spec.expected_attach_type in self.attach_types
        )

    def load(self) -> Callable[..., Link]:
        """The function that attaches."""
        module, _, function = self.function.partition(":")
        found: Callable[..., Link] = getattr(importlib.import_module(f"bpfas.loader.attach.{module}"), function)
        return found


_RAW_TRACEPOINTS = (_P.RAW_TRACEPOINT, _P.RAW_TRACEPOINT_WRITABLE)
_MULTI_KPROBES = (_A.TRACE_KPROBE_MULTI, _A.TRACE_KPROBE_SESSION)
_MULTI_UPROBES = (_A.TRACE_UPROBE_MULTI, _A.TRACE_UPROBE_SESSION)
_TRAMPOLINES = (_A.TRACE_RAW_TP, _A.TRACE_FENTRY, _A.TRACE_FEXIT, _A.MODIFY_RETURN, _A.TRACE_FSESSION)
_MULTI_TRAMPOLINES = (_A.TRACE_FENTRY_MULTI, _A.TRACE_FEXIT_MULTI, _A.TRACE_FSESSION_MULTI)
_EVENTS = (_P.KPROBE, _P.TRACEPOINT, _P.PERF_EVENT)

TRACING_WAYS: tuple[Way, ...] = (
    Way("kprobe", "kprobe:attach_kprobe", (_P.KPROBE,), (NO_ATTACH_TYPE,), _H.KPROBE),
    Way("ksyscall", "kprobe:attach_ksyscall", (_P.KPROBE,), (NO_ATTACH_TYPE,), _H.KSYSCALL),
    Way("kprobe-multi", "kprobe_multi:attach_kprobe_multi", (_P.KPROBE,), _MULTI_KPROBES, _H.KPROBE_MULTI),
    Way("usdt", "usdt:attach_usdt", (_P.KPROBE,), (NO_ATTACH_TYPE, _A.TRACE_UPROBE_MULTI), _H.USDT),
    Way("uprobe", "uprobe:attach_uprobe", (_P.KPROBE,), (NO_ATTACH_TYPE,), _H.UPROBE),
    Way("uprobe-multi", "uprobe_multi:attach_uprobe_multi", (_P.KPROBE,), _MULTI_UPROBES, _H.UPROBE_MULTI),
    Way("tracepoint", "tracepoint:attach_tracepoint", (_P.TRACEPOINT,), (), _H.TRACEPOINT),
    Way("raw-tracepoint", "tracepoint:attach_raw_tracepoint", _RAW_TRACEPOINTS, (), _H.RAW_TRACEPOINT),
    Way("trace", "trace:attach_trace", (_P.TRACING,), _TRAMPOLINES, _H.TRACE),
    Way("tracing-multi", "trace:attach_tracing_multi", (_P.TRACING,), _MULTI_TRAMPOLINES, _H.TRACING_MULTI),
    Way("iterator", "iterator:attach_iterator", (_P.TRACING,), (_A.TRACE_ITER,), _H.ITER),
    Way("lsm", "trace:attach_lsm", (_P.LSM,), (_A.LSM_MAC,), _H.LSM),
    Way("lsm-cgroup", "trace:attach_lsm_cgroup", (_P.LSM,), (_A.LSM_CGROUP,)),
    Way("freplace", "trace:attach_freplace", (_P.EXT,), (), _H.TRACE),
    Way("perf-event", "perf_event:attach_perf_event", _EVENTS, (NO_ATTACH_TYPE,)),
)
"""What programs that observe are attached by."""

_LWT_TYPES = (_P.LWT_IN, _P.LWT_OUT, _P.LWT_XMIT, _P.LWT_SEG6LOCAL)
_CGROUP_TYPES = (
    _P.CGROUP_SKB,
    _P.CGROUP_SOCK,
    _P.CGROUP_SOCK_ADDR,
    _P.CGROUP_DEVICE,
    _P.CGROUP_SYSCTL,
    _P.CGROUP_SOCKOPT,
    _P.SOCK_OPS,
)

NETWORK_WAYS: tuple[Way, ...] = (
    Way("xdp", "xdp:attach_xdp", (_P.XDP,), (_A.XDP, NO_ATTACH_TYPE)),
    Way("xdp-netlink", "xdp:attach_xdp_by_netlink", (_P.XDP,), (_A.XDP, NO_ATTACH_TYPE)),
    Way("devmap", "redirect:attach_devmap", (_P.XDP,), (_A.XDP_DEVMAP,)),
    Way("cpumap", "redirect:attach_cpumap", (_P.XDP,), (_A.XDP_CPUMAP,)),
    Way("netkit", "tcx:attach_netkit", (_P.SCHED_CLS,), (_A.NETKIT_PRIMARY, _A.NETKIT_PEER)),
    Way("tc", "tc:attach_tc", (_P.SCHED_CLS,)),
    Way("tcx", "tcx:attach_tcx", (_P.SCHED_CLS,)),
    Way("tcx-attach", "tcx:attach_tcx_without_link", (_P.SCHED_CLS,)),
    Way("clsact", "tc:attach_clsact", (_P.SCHED_CLS,)),
    Way("netkit", "tcx:attach_netkit", (_P.SCHED_CLS,)),
    Way("netkit-attach", "tcx:attach_netkit_without_link", (_P.SCHED_CLS,)),
    Way("cgroup", "cgroup:attach_cgroup", _CGROUP_TYPES),
    Way("cgroup-attach", "cgroup:attach_cgroup_without_link", _CGROUP_TYPES),
    Way("sockmap", "sockmap:attach_sockmap", (_P.SK_SKB, _P.SK_MSG)),
    Way("sockmap-attach", "sockmap:attach_sockmap_without_link", (_P.SK_SKB, _P.SK_MSG)),
    Way("socket", "socket_filter:attach_socket", (_P.SOCKET_FILTER,)),
    Way("reuseport", "socket_filter:attach_reuseport", (_P.SK_REUSEPORT, _P.SOCKET_FILTER)),
    Way("netns", "netns:attach_netns", (_P.FLOW_DISSECTOR, _P.SK_LOOKUP)),
    Way("netfilter", "netns:attach_netfilter", (_P.NETFILTER,)),
    Way("route", "lwt:attach_route", _LWT_TYPES),
    Way("lirc", "lirc:attach_lirc", (_P.LIRC_MODE2,)),
)
"""What programs that see packets, sockets and control groups are attached by."""


def ways() -> Sequence[Way]:
    """All rows; of those that take a program, the first is what it goes by unless its section or caller says."""
    return TRACING_WAYS + NETWORK_WAYS


@overload
def attach(program: Attachable, *, way: Literal["iterator"], **how: Any) -> IteratorLink: ...
@overload
def attach(program: Attachable, *, way: str | None = None, **how: Any) -> Link: ...
def attach(program: Attachable, *, way: str | None = None, **how: Any) -> Link:
    """Attach a loaded program, and give the Link that ends the attachment when it is closed.

    Without `how`, to what its section names (`kprobe/do_unlinkat`); `how` are the keywords of the functions in
    the table (`function="do_unlinkat"`, `interface="eth0"`), and tell the way too where there are several; `way`
    is one of `ways()` by name. All that take an `interface` take `netns` as well, the network namespace that it is
    in, as `attach_netns` does. Raises AttachError for what the program, the caller or the kernel does not permit,
    and TypeError for keywords that no way takes, and values of other types.
    """
    if program.fd < 0:
        raise attach_error(program, "", errno.EBADF, explanation=Explanation("the program is closed"))
    candidates = _candidates(program, way)
    chosen = next((each for each in candidates if set(how) <= _keywords(each).keys()), None)
    if chosen is None:
        raise TypeError(_not_taken(program, candidates, how))
    needed = [name for name, is_needed in _keywords(chosen).items() if is_needed and name not in how]
    if needed:
        cause = f"nothing says where: a program of section '{program.spec.section}' is attached by {chosen.name}"
        options = " ".join(f"--to {name}=…" for name in needed)
        remedy = f"say it: {options}; from Python attach({', '.join(f'{name}=…' for name in needed)})"
        raise attach_error(program, "", errno.EINVAL, explanation=Explanation(cause, remedy))
    for keyword, parameter in _parameters(chosen).items():
        if keyword in how:
            check_value(keyword, how[keyword], parameter.annotation)
    if NAMESPACE in how and NAMESPACE not in _own_keywords(chosen):
        where = f"network namespace {how[NAMESPACE]}"
        from bpfas.loader.attach.netns import open_namespace_of

        with contextlib.ExitStack() as held:
            held.enter_context(within(open_namespace_of(how.pop(NAMESPACE), where, program, held)))
            return chosen.load()(program, **how)
    return chosen.load()(program, **how)


def attaches_by_section(spec: ProgramSpec) -> bool:
    """Whether `attach` needs no more than what the program's section says. A bare `kprobe` does not say enough."""
    return spec.kind.auto_attach is not AutoAttach.NONE and bool(spec.attach_target)


def _candidates(program: Attachable, way: str | None) -> list[Way]:
    """The rows that take the program, what its section stands for in front."""
    spec = program.spec
    found = [each for each in ways() if each.takes(spec) and way in (None, each.name)]
    if not found:
        kind = program_type_name(spec.program_type)
        cause = f"programs of type {kind} in section '{spec.section}' are not attached by themselves"
        if way is not None:
            cause = f"programs of type {kind} in section '{spec.section}' are not attached by '{way}'"
        remedy = _REMEDIES.get(spec.program_type, "")
        if names := [each.name for each in ways() if each.takes(spec)]:
            remedy = f"they are attached by {' or '.join(names)}"
        raise attach_error(program, "", errno.EINVAL, explanation=Explanation(cause, remedy))
    auto = spec.kind.auto_attach
    return sorted(found, key=lambda each: auto is AutoAttach.NONE or each.auto is not auto)


_REMEDIES = {
    _P.STRUCT_OPS: "attach the struct_ops map that they are in: bpf-load attach OBJ MAP, attach_struct_ops(MAP)",
    _P.SYSCALL: "run them: test_run()",
    _P.SCHED_ACT: "give them to tc: tc filter add … action bpf object-pinned PATH",
    _P.UNSPEC: "name the section for what the program is: xdp, tc, kprobe/FUNCTION, …",
}
"""What else to do with programs that have no way."""


def _keywords(way: Way) -> dict[str, bool]:
    """The keywords that the row takes, and which of them it cannot do without."""
    own = _own_keywords(way)
    return {**own, NAMESPACE: False} if "interface" in own and NAMESPACE not in own else own


def _own_keywords(way: Way) -> dict[str, bool]:
    """Those that the row's function takes itself."""
    return {name: each.default is inspect.Parameter.empty for name, each in _parameters(way).items()}


def _parameters(way: Way) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(way.load()).parameters.values()
    return {each.name: each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


def _not_taken(program: Attachable, candidates: Sequence[Way], how: dict[str, Any]) -> str:
    known = {name for each in candidates for name in _keywords(each)}
    strange = [name for name in how if name not in known]
    offers = "; ".join(f"{each.name}: {', '.join(_keywords(each)) or 'nothing'}" for each in candidates)
    what = f"no keyword {', '.join(strange)}" if strange else f"not {', '.join(how)} together"
    return f"attaching program {program.name} takes {what}; it takes, by {offers}"
