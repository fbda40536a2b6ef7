"""Attaching in a C header: a function for each program, one for all, one that ends it.

Attached by __attach is what bpftool's skeletons attach (raw tracepoints, tracing, security hooks, iterators), and
programs that replace a function. For what wants a network interface, a cgroup or a namespace and no more, there is
__attach_to, which takes that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.c.data import quoted
from bpfas.loader.kinds import NO_ATTACH_TYPE, AttachType, ProgramType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.loader.gen.c.skeleton import Part, Skeleton
    from bpfas.loader.gen.loader_program import ProgramEntry

_SWITCHED_ON = frozenset({ProgramType.TRACING, ProgramType.LSM, ProgramType.EXT})
"""Types of programs that are loaded for what they are attached to."""
_WITH_TARGETS = frozenset(
    {
        AttachType.LSM_CGROUP,
        AttachType.TRACE_FENTRY_MULTI,
        AttachType.TRACE_FEXIT_MULTI,
        AttachType.TRACE_FSESSION_MULTI,
    }
)
"""Those among them that are told more when they are attached."""

_INTERFACE, _CGROUP, _NETNS, _MAP = "ifindex", "cgroup_fd", "netns_fd", "map_fd"
_TARGETS: Mapping[ProgramType, str] = {
    ProgramType.XDP: _INTERFACE,
    ProgramType.CGROUP_SKB: _CGROUP,
    ProgramType.CGROUP_SOCK: _CGROUP,
    ProgramType.CGROUP_DEVICE: _CGROUP,
    ProgramType.CGROUP_SOCK_ADDR: _CGROUP,
    ProgramType.CGROUP_SYSCTL: _CGROUP,
    ProgramType.CGROUP_SOCKOPT: _CGROUP,
    ProgramType.SOCK_OPS: _CGROUP,
    ProgramType.FLOW_DISSECTOR: _NETNS,
    ProgramType.SK_LOOKUP: _NETNS,
    ProgramType.SK_MSG: _MAP,
    ProgramType.SK_SKB: _MAP,
}
"""What BPF_LINK_CREATE attaches programs of a type to."""
_INTERFACE_ATTACH_TYPES = frozenset(
    {AttachType.TCX_INGRESS, AttachType.TCX_EGRESS, AttachType.NETKIT_PRIMARY, AttachType.NETKIT_PEER}
)
_NO_XDP_LINKS = frozenset({AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP})
_INGRESS_SECTION = "cgroup_skb/ingress"
"""What tells that an attach type of 0 is CGROUP_INET_INGRESS."""

_NOTHING = "((void)prog_fd, 0)"

_ATTACH = """\
static inline int
${X}__${function}__attach(struct $X *skel)
{
	int prog_fd = skel->progs.${member}.prog_fd;
	int fd = ${action};

	if (fd > 0)
		skel->links.${link} = fd;
	return fd;
}

"""

_ATTACH_TO = """\
/* attaches to ${what} by a link of attach type ${attach_type} */
static inline int
${X}__${function}__attach_to(struct $X *skel, int ${target})
{
	int fd = skel_link_create(skel->progs.${member}.prog_fd, ${target}, (enum bpf_attach_type)${number});

	if (fd > 0) {
		skel_closenz(skel->links.${link});
		skel->links.${link} = fd;
	}
	return fd;
}

"""

_WORDS = {
    _INTERFACE: "a network interface",
    _CGROUP: "a cgroup",
    _NETNS: "a network namespace",
    _MAP: "a map of sockets",
}


def attach_functions(skeleton: Skeleton) -> str:
    """The functions that attach one program each."""
    return "".join(
        _attach_function(skeleton, entry) + _attach_to_function(skeleton, entry)
        for entry in skeleton.program.context.programs
    )


def link_member(skeleton: Skeleton, name: str) -> str:
    """The member of struct `links` of a program or of a map of struct_ops."""
    if name in skeleton.programs:
        return f"{skeleton.program_functions[name]}_fd"
    return f"{skeleton.map_functions[name]}_fd"


def attach_all(skeleton: Skeleton, struct_ops: list[str], parts: list[Part]) -> str:
    """The functions __attach and __detach; `struct_ops` are the maps that are attached, too."""
    functions = [skeleton.program_functions[name] for name in skeleton.programs]
    functions += [skeleton.map_functions[name] for name in struct_ops]
    links = [link_member(skeleton, name) for name in (*skeleton.programs, *struct_ops)]
    calls = "".join(
        f"\tret = ret < 0 ? ret : {skeleton.name}__{function}__attach(skel);\n" for function in functions
    )
    ends = "".join(part.detached for part in parts)
    ends += "".join(f"\tskel_closenz(skel->links.{link});\n\tskel->links.{link} = 0;\n" for link in links)
    unused = "" if links else "\t(void)skel;\n"
    return (
        f"static inline int\n{skeleton.name}__attach(struct {skeleton.name} *skel)\n{{\n\tint ret = 0;\n\n"
        f"{unused}{calls}\treturn ret < 0 ? ret : 0;\n}}\n\n"
        f"static inline void\n{skeleton.name}__detach(struct {skeleton.name} *skel)\n{{\n{unused}{ends}}}\n\n"
    )


def _attach_function(skeleton: Skeleton, entry: ProgramEntry) -> str:
    name = entry.spec.name
    return skeleton.fill(
        _ATTACH,
        function=skeleton.program_functions[name],
        member=skeleton.programs[name],
        link=link_member(skeleton, name),
        action=_action(entry),
    )


def _action(entry: ProgramEntry) -> str:
    """The expression that attaches a program and gives the link's descriptor, 0 for nothing to attach."""
    spec = entry.spec
    if not entry.is_loaded:
        return _NOTHING
    if spec.program_type == ProgramType.RAW_TRACEPOINT and spec.attach_target:
        return f"skel_raw_tracepoint_open({quoted(spec.attach_target)}, prog_fd)"
    if spec.program_type in _SWITCHED_ON and spec.expected_attach_type not in _WITH_TARGETS:
        if spec.expected_attach_type == AttachType.TRACE_ITER:
            return "skel_link_create(prog_fd, 0, BPF_TRACE_ITER)"
        return "skel_raw_tracepoint_open(NULL, prog_fd)"
    return _NOTHING


def _attach_to_function(skeleton: Skeleton, entry: ProgramEntry) -> str:
    found = _target(entry)
    if found is None or not entry.is_loaded:
        return ""
    target, attach_type = found
    name = entry.spec.name
    return skeleton.fill(
        _ATTACH_TO,
        function=skeleton.program_functions[name],
        member=skeleton.programs[name],
        link=link_member(skeleton, name),
        target=target,
        what=_WORDS[target],
        attach_type=f"BPF_{attach_type.name}",
        number=int(attach_type),
    )


def _target(entry: ProgramEntry) -> tuple[str, AttachType] | None:
    """What a program is attached to by nothing but a descriptor or an index, and the attach type for that."""
    spec = entry.spec
    given = spec.expected_attach_type
    if given not in set(AttachType):
        return None
    attach_type = AttachType(given)
    if attach_type is AttachType.LSM_CGROUP:
        return _CGROUP, attach_type
    if spec.program_type == ProgramType.SCHED_CLS:
        return (_INTERFACE, attach_type) if attach_type in _INTERFACE_ATTACH_TYPES else None
    if spec.program_type not in _TARGETS or attach_type in _NO_XDP_LINKS:
        return None
    says_so = given != NO_ATTACH_TYPE or spec.section.removeprefix("?") == _INGRESS_SECTION
    return (_TARGETS[spec.program_type], attach_type) if says_so else None
