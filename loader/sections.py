"""Section name to program type: one table, and the lookup in it.

A row's names match exactly; a name that ends in `+` matches itself and itself followed by `/` and anything.
So `xdp/foo` is not `xdp`. The first row that matches counts. A `?` in front of a section's name says that its
programs are not loaded unless asked for; `split_autoload` takes it off. Attaching is left to others; the
table says how it would be done. Source: the SEC() conventions of libbpf 1.8.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from bpfas.loader.kinds import NO_ATTACH_TYPE, AttachType, ProgramFlag, ProgramType
from bpfas.loader.nearest import close_matches


class SectionFlag(enum.Flag):
    """What else a section's name says about its programs."""

    NONE = 0
    ATTACH_TYPE_REQUIRED = enum.auto()  # the expected attach type is part of the type
    ATTACH_TYPE_OPTIONAL = enum.auto()  # it is left out where the kernel does not know the field
    ATTACH_BTF = enum.auto()  # it is loaded for a kernel function or type, found in BTF
    SLEEPABLE = enum.auto()
    XDP_FRAGS = enum.auto()
    USDT = enum.auto()


class AutoAttach(enum.Enum):
    """How a program is attached by its section's name alone."""

    NONE = "none"
    KPROBE = "kprobe"
    UPROBE = "uprobe"
    KPROBE_MULTI = "kprobe-multi"
    UPROBE_MULTI = "uprobe-multi"
    KSYSCALL = "ksyscall"
    USDT = "usdt"
    TRACEPOINT = "tracepoint"
    RAW_TRACEPOINT = "raw-tracepoint"
    TRACE = "trace"
    TRACING_MULTI = "tracing-multi"
    LSM = "lsm"
    ITER = "iter"


class SectionKind(NamedTuple):
    """A row: the section names it stands for (separated by blanks) and what programs in them are."""

    names: str
    program_type: ProgramType
    attach_type: AttachType = NO_ATTACH_TYPE
    flags: SectionFlag = SectionFlag.NONE
    auto_attach: AutoAttach = AutoAttach.NONE

    @property
    def program_flags(self) -> ProgramFlag:
        """prog_flags of BPF_PROG_LOAD."""
        flags = ProgramFlag(0)
        if SectionFlag.SLEEPABLE in self.flags:
            flags |= ProgramFlag.SLEEPABLE
        if SectionFlag.XDP_FRAGS in self.flags:
            flags |= ProgramFlag.XDP_HAS_FRAGS
        return flags


_P, _A, _F, _H = ProgramType, AttachType, SectionFlag, AutoAttach
_REQUIRED, _OPTIONAL, _BTF, _SLEEP = _F.ATTACH_TYPE_REQUIRED, _F.ATTACH_TYPE_OPTIONAL, _F.ATTACH_BTF, _F.SLEEPABLE
_SOCK_ADDR = _P.CGROUP_SOCK_ADDR

SECTION_KINDS: tuple[SectionKind, ...] = (
    SectionKind("socket", _P.SOCKET_FILTER),
    SectionKind("sk_reuseport/migrate", _P.SK_REUSEPORT, _A.SK_REUSEPORT_SELECT_OR_MIGRATE, _REQUIRED),
    SectionKind("sk_reuseport", _P.SK_REUSEPORT, _A.SK_REUSEPORT_SELECT, _REQUIRED),
    SectionKind("kprobe+ kretprobe+", _P.KPROBE, auto_attach=_H.KPROBE),
    SectionKind("uprobe+ uretprobe+", _P.KPROBE, auto_attach=_H.UPROBE),
    SectionKind("uprobe.s+ uretprobe.s+", _P.KPROBE, flags=_SLEEP, auto_attach=_H.UPROBE),
    SectionKind("kprobe.multi+ kretprobe.multi+", _P.KPROBE, _A.TRACE_KPROBE_MULTI, auto_attach=_H.KPROBE_MULTI),
    SectionKind("kprobe.session+", _P.KPROBE, _A.TRACE_KPROBE_SESSION, auto_attach=_H.KPROBE_MULTI),
    SectionKind("uprobe.multi+ uretprobe.multi+", _P.KPROBE, _A.TRACE_UPROBE_MULTI, auto_attach=_H.UPROBE_MULTI),
    SectionKind("uprobe.session+", _P.KPROBE, _A.TRACE_UPROBE_SESSION, auto_attach=_H.UPROBE_MULTI),
    SectionKind("uprobe.multi.s+ uretprobe.multi.s+", _P.KPROBE, _A.TRACE_UPROBE_MULTI, _SLEEP, _H.UPROBE_MULTI),
    SectionKind("uprobe.session.s+", _P.KPROBE, _A.TRACE_UPROBE_SESSION, _SLEEP, _H.UPROBE_MULTI),
    SectionKind("ksyscall+ kretsyscall+", _P.KPROBE, auto_attach=_H.KSYSCALL),
    SectionKind("usdt+", _P.KPROBE, flags=_F.USDT, auto_attach=_H.USDT),
    SectionKind("usdt.s+", _P.KPROBE, flags=_F.USDT | _SLEEP, auto_attach=_H.USDT),
    SectionKind("tc/ingress tcx/ingress", _P.SCHED_CLS, _A.TCX_INGRESS),
    SectionKind("tc/egress tcx/egress", _P.SCHED_CLS, _A.TCX_EGRESS),
    SectionKind("tc classifier", _P.SCHED_CLS),
    SectionKind("action", _P.SCHED_ACT),
    SectionKind("netkit/primary", _P.SCHED_CLS, _A.NETKIT_PRIMARY),
    SectionKind("netkit/peer", _P.SCHED_CLS, _A.NETKIT_PEER),
    SectionKind("tracepoint+ tp+", _P.TRACEPOINT, auto_attach=_H.TRACEPOINT),
    SectionKind("tracepoint.s+ tp.s+", _P.TRACEPOINT, flags=_SLEEP, auto_attach=_H.TRACEPOINT),
    SectionKind("raw_tracepoint+ raw_tp+", _P.RAW_TRACEPOINT, auto_attach=_H.RAW_TRACEPOINT),
    SectionKind("raw_tracepoint.s+ raw_tp.s+", _P.RAW_TRACEPOINT, flags=_SLEEP, auto_attach=_H.RAW_TRACEPOINT),
    SectionKind("raw_tracepoint.w+ raw_tp.w+", _P.RAW_TRACEPOINT_WRITABLE, auto_attach=_H.RAW_TRACEPOINT),
    SectionKind("tp_btf+", _P.TRACING, _A.TRACE_RAW_TP, _BTF, _H.TRACE),
    SectionKind("tp_btf.s+", _P.TRACING, _A.TRACE_RAW_TP, _BTF | _SLEEP, _H.TRACE),
    SectionKind("fentry+", _P.TRACING, _A.TRACE_FENTRY, _BTF, _H.TRACE),
    SectionKind("fexit+", _P.TRACING, _A.TRACE_FEXIT, _BTF, _H.TRACE),
    SectionKind("fmod_ret+", _P.TRACING, _A.MODIFY_RETURN, _BTF, _H.TRACE),
    SectionKind("fsession+", _P.TRACING, _A.TRACE_FSESSION, _BTF, _H.TRACE),
    SectionKind("fentry.s+", _P.TRACING, _A.TRACE_FENTRY, _BTF | _SLEEP, _H.TRACE),
    SectionKind("fexit.s+", _P.TRACING, _A.TRACE_FEXIT, _BTF | _SLEEP, _H.TRACE),
    SectionKind("fmod_ret.s+", _P.TRACING, _A.MODIFY_RETURN, _BTF | _SLEEP, _H.TRACE),
    SectionKind("fsession.s+", _P.TRACING, _A.TRACE_FSESSION, _BTF | _SLEEP, _H.TRACE),
    SectionKind("fentry.multi+", _P.TRACING, _A.TRACE_FENTRY_MULTI, auto_attach=_H.TRACING_MULTI),
    SectionKind("fexit.multi+", _P.TRACING, _A.TRACE_FEXIT_MULTI, auto_attach=_H.TRACING_MULTI),
    SectionKind("fsession.multi+", _P.TRACING, _A.TRACE_FSESSION_MULTI, auto_attach=_H.TRACING_MULTI),
    SectionKind("fentry.multi.s+", _P.TRACING, _A.TRACE_FENTRY_MULTI, _SLEEP, _H.TRACING_MULTI),
    SectionKind("fexit.multi.s+", _P.TRACING, _A.TRACE_FEXIT_MULTI, _SLEEP, _H.TRACING_MULTI),
    SectionKind("fsession.multi.s+", _P.TRACING, _A.TRACE_FSESSION_MULTI, _SLEEP, _H.TRACING_MULTI),
    SectionKind("freplace+", _P.EXT, flags=_BTF, auto_attach=_H.TRACE),
    SectionKind("lsm+", _P.LSM, _A.LSM_MAC, _BTF, _H.LSM),
    SectionKind("lsm.s+", _P.LSM, _A.LSM_MAC, _BTF | _SLEEP, _H.LSM),
    SectionKind("lsm_cgroup+", _P.LSM, _A.LSM_CGROUP, _BTF),
    SectionKind("iter+", _P.TRACING, _A.TRACE_ITER, _BTF, _H.ITER),
    SectionKind("iter.s+", _P.TRACING, _A.TRACE_ITER, _BTF | _SLEEP, _H.ITER),
    SectionKind("syscall", _P.SYSCALL, flags=_SLEEP),
    SectionKind("xdp.frags/devmap", _P.XDP, _A.XDP_DEVMAP, _F.XDP_FRAGS),
    SectionKind("xdp/devmap", _P.XDP, _A.XDP_DEVMAP, _REQUIRED),
    SectionKind("xdp.frags/cpumap", _P.XDP, _A.XDP_CPUMAP, _F.XDP_FRAGS),
    SectionKind("xdp/cpumap", _P.XDP, _A.XDP_CPUMAP, _REQUIRED),
    SectionKind("xdp.frags", _P.XDP, _A.XDP, _F.XDP_FRAGS),
    SectionKind("xdp", _P.XDP, _A.XDP, _OPTIONAL),
    SectionKind("perf_event", _P.PERF_EVENT),
    SectionKind("lwt_in", _P.LWT_IN),
    SectionKind("lwt_out", _P.LWT_OUT),
    SectionKind("lwt_xmit", _P.LWT_XMIT),
    SectionKind("lwt_seg6local", _P.LWT_SEG6LOCAL),
    SectionKind("sockops", _P.SOCK_OPS, _A.CGROUP_SOCK_OPS, _OPTIONAL),
    SectionKind("sk_skb/stream_parser", _P.SK_SKB, _A.SK_SKB_STREAM_PARSER, _OPTIONAL),
    SectionKind("sk_skb/stream_verdict", _P.SK_SKB, _A.SK_SKB_STREAM_VERDICT, _OPTIONAL),
    SectionKind("sk_skb/verdict", _P.SK_SKB, _A.SK_SKB_VERDICT, _OPTIONAL),
    SectionKind("sk_skb", _P.SK_SKB),
    SectionKind("sk_msg", _P.SK_MSG, _A.SK_MSG_VERDICT, _OPTIONAL),
    SectionKind("lirc_mode2", _P.LIRC_MODE2, _A.LIRC_MODE2, _OPTIONAL),
    SectionKind("flow_dissector", _P.FLOW_DISSECTOR, _A.FLOW_DISSECTOR, _OPTIONAL),
    SectionKind("cgroup_skb/ingress", _P.CGROUP_SKB, _A.CGROUP_INET_INGRESS, _OPTIONAL),
    SectionKind("cgroup_skb/egress", _P.CGROUP_SKB, _A.CGROUP_INET_EGRESS, _OPTIONAL),
    SectionKind("cgroup/skb", _P.CGROUP_SKB),
    SectionKind("cgroup/sock_create", _P.CGROUP_SOCK, _A.CGROUP_INET_SOCK_CREATE, _REQUIRED),
    SectionKind("cgroup/sock_release", _P.CGROUP_SOCK, _A.CGROUP_INET_SOCK_RELEASE, _REQUIRED),
    SectionKind("cgroup/sock", _P.CGROUP_SOCK, _A.CGROUP_INET_SOCK_CREATE, _OPTIONAL),
    SectionKind("cgroup/post_bind4", _P.CGROUP_SOCK, _A.CGROUP_INET4_POST_BIND, _REQUIRED),
    SectionKind("cgroup/post_bind6", _P.CGROUP_SOCK, _A.CGROUP_INET6_POST_BIND, _REQUIRED),
    SectionKind("cgroup/bind4", _SOCK_ADDR, _A.CGROUP_INET4_BIND, _REQUIRED),
    SectionKind("cgroup/bind6", _SOCK_ADDR, _A.CGROUP_INET6_BIND, _REQUIRED),
    SectionKind("cgroup/connect4", _SOCK_ADDR, _A.CGROUP_INET4_CONNECT, _REQUIRED),
    SectionKind("cgroup/connect6", _SOCK_ADDR, _A.CGROUP_INET6_CONNECT, _REQUIRED),
    SectionKind("cgroup/connect_unix", _SOCK_ADDR, _A.CGROUP_UNIX_CONNECT, _REQUIRED),
    SectionKind("cgroup/sendmsg4", _SOCK_ADDR, _A.CGROUP_UDP4_SENDMSG, _REQUIRED),
    SectionKind("cgroup/sendmsg6", _SOCK_ADDR, _A.CGROUP_UDP6_SENDMSG, _REQUIRED),
    SectionKind("cgroup/sendmsg_unix", _SOCK_ADDR, _A.CGROUP_UNIX_SENDMSG, _REQUIRED),
    SectionKind("cgroup/recvmsg4", _SOCK_ADDR, _A.CGROUP_UDP4_RECVMSG, _REQUIRED),
    SectionKind("cgroup/recvmsg6", _SOCK_ADDR, _A.CGROUP_UDP6_RECVMSG, _REQUIRED),
    SectionKind("cgroup/recvmsg_unix", _SOCK_ADDR, _A.CGROUP_UNIX_RECVMSG, _REQUIRED),
    SectionKind("cgroup/getpeername4", _SOCK_ADDR, _A.CGROUP_INET4_GETPEERNAME, _REQUIRED),
    SectionKind("cgroup/getpeername6", _SOCK_ADDR, _A.CGROUP_INET6_GETPEERNAME, _REQUIRED),
    SectionKind("cgroup/getpeername_unix", _SOCK_ADDR, _A.CGROUP_UNIX_GETPEERNAME, _REQUIRED),
    SectionKind("cgroup/getsockname4", _SOCK_ADDR, _A.CGROUP_INET4_GETSOCKNAME, _REQUIRED),
    SectionKind("cgroup/getsockname6", _SOCK_ADDR, _A.CGROUP_INET6_GETSOCKNAME, _REQUIRED),
    SectionKind("cgroup/getsockname_unix", _SOCK_ADDR, _A.CGROUP_UNIX_GETSOCKNAME, _REQUIRED),
    SectionKind("cgroup/sysctl", _P.CGROUP_SYSCTL, _A.CGROUP_SYSCTL, _REQUIRED),
    SectionKind("cgroup/getsockopt", _P.CGROUP_SOCKOPT, _A.CGROUP_GETSOCKOPT, _REQUIRED),
    SectionKind("cgroup/setsockopt", _P.CGROUP_SOCKOPT, _A.CGROUP_SETSOCKOPT, _REQUIRED),
    SectionKind("cgroup/dev", _P.CGROUP_DEVICE, _A.CGROUP_DEVICE, _OPTIONAL),
    SectionKind("struct_ops+", _P.STRUCT_OPS),
    SectionKind("struct_ops.s+", _P.STRUCT_OPS, flags=_SLEEP),
    SectionKind("sk_lookup", _P.SK_LOOKUP, _A.SK_LOOKUP, _REQUIRED),
    SectionKind("netfilter", _P.NETFILTER, _A.NETFILTER),
)
"""Every section name that stands for a program type."""


def _kinds_by_name() -> dict[str, SectionKind]:
    """The rows by the whole names of sections, and by the first part of longer ones, up to and with the `/`."""
    kinds = {}
    for kind in SECTION_KINDS:
        for name in kind.names.split():
            kinds[name.removesuffix("+")] = kind
            if name.endswith("+"):
                kinds[f"{name[:-1]}/"] = kind
    return kinds


_KINDS_BY_NAME = _kinds_by_name()
UNKNOWN_SECTION = SectionKind("", ProgramType.UNSPEC)
"""The row of sections that stand for no program type."""


def split_autoload(section: str) -> tuple[str, bool]:
    """A section's name without `?`, and whether its programs are loaded without being asked for."""
    return section.removeprefix("?"), not section.startswith("?")


def section_kind(section: str) -> SectionKind:
    """The row for sections called `section` (without `?`); UNKNOWN_SECTION where the table has none."""
    return _KINDS_BY_NAME.get(section) or _KINDS_BY_NAME.get(f"{section.partition('/')[0]}/") or UNKNOWN_SECTION


def similar_sections(section: str) -> list[str]:
    """Names in the table that look like `section`, the nearest first; the part before `/` counts as well."""
    known = [name.removesuffix("+") for kind in SECTION_KINDS for name in kind.names.split()]
    stem = section.partition("/")[0]
    exact = [stem] if stem in known else []
    return list(dict.fromkeys([*exact, *close_matches(section, known, 3)]))
