"""The machine and the process: what decides about bpf(2) and can be read from files.

Sources: the kernel's documents on sysctl (kernel, net), proc(5), capabilities(7), kernel_lockdown(7).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.doctor.finding import Finding, Group, State
from bpfas.loader.kernel.config_text import config_places, option, running_config
from bpfas.loader.kernel.kallsyms import addresses_in, read_kallsyms, shows_addresses
from bpfas.loader.kernel.running import possible_cpu_count
from bpfas.loader.kernel.type_files import SYSFS_BTF, VMLINUX_BTF, running_types
from bpfas.loader.kernel.version import running_version, version_text
from bpfas.loader.privilege import Capability, Situation, read_situation
from bpfas.loader.syscall import syscall_number

if TYPE_CHECKING:
    from collections.abc import Iterator

_MACHINE, _SETTINGS = Group.MACHINE, Group.SETTINGS


class Mount(NamedTuple):
    """A file system that is mounted: its type, where, and its options."""

    kind: str
    place: str
    options: str


def mounts(path: Path = Path("/proc/self/mounts")) -> list[Mount]:
    """What is mounted for this process."""
    fields = [line.split(" ") for line in _read(path).splitlines()]
    return [Mount(line[2], line[1], line[3]) for line in fields if len(line) > 3]


def examine_machine(root: Path = Path("/")) -> Iterator[Finding]:
    """What the process is and has."""
    situation = read_situation(root)
    uname = os.uname()
    version = running_version()
    yield Finding(
        _MACHINE,
        "kernel",
        State.WORKS if version else State.UNKNOWN,
        f"Linux {uname.release} on {uname.machine}, upstream {version_text(version)}, "
        f"{possible_cpu_count()} CPUs possible",
    )
    number = syscall_number()
    yield Finding(
        _MACHINE,
        "bpf(2)",
        State.WORKS if number else State.FAILS,
        f"number {number}" if number else f"its number on {uname.machine} is not known",
        "" if number else "use a newer bpf-as",
    )
    yield from _capabilities(situation)
    yield _limits(situation)
    yield from _types()
    yield _symbols(root)
    yield from _mounts(mounts(root / "proc/self/mounts"))


def examine_settings(root: Path = Path("/")) -> Iterator[Finding]:
    """How the kernel is set and built."""
    situation = read_situation(root)
    yield from _switches(root)
    yield _lockdown(situation)
    yield _security_modules(situation, root)
    yield from _options()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _capabilities(situation: Situation) -> Iterator[Finding]:
    for capability, use in _USES.items():
        if situation.is_in_user_namespace:
            detail = "the process is in a user namespace, whose capabilities do not count for bpf(2)"
            remedy = "run it outside (not in a rootless container), or delegate by a BPF token"
            yield Finding(_MACHINE, capability.name, State.FAILS, detail, remedy)
        elif situation.lacks(capability):
            where = ", nor can root here" if situation.can_never_have(capability) else ""
            remedy = f"run it as root (sudo), or setcap {capability.name.lower()}+ep on the interpreter"
            yield Finding(_MACHINE, capability.name, State.FAILS, f"the process lacks it{where}: {use}", remedy)
        else:
            yield Finding(_MACHINE, capability.name, State.WORKS, use)
    if situation.has_seccomp_filter:
        yield Finding(
            _MACHINE,
            "seccomp",
            State.LIMITED,
            "the process runs under a filter, which may refuse bpf(2) and perf_event_open(2)",
            "allow both in the container's seccomp profile, if they fail",
        )


_USES = {
    Capability.CAP_BPF: "maps, programs, BTF",
    Capability.CAP_PERFMON: "programs that trace; kernel memory; pointer arithmetic",
    Capability.CAP_NET_ADMIN: "programs of the network, and attaching them",
    Capability.CAP_SYS_ADMIN: "ids of objects, BTF of modules, and all of the above",
}


def _limits(situation: Situation) -> Finding:
    limit = "unlimited" if situation.memlock_limit is None else f"{situation.memlock_limit} bytes"
    if situation.counts_locked_memory:
        detail = f"{limit}, and before Linux 5.11 all maps and programs count as locked memory"
        return Finding(_MACHINE, "RLIMIT_MEMLOCK", State.LIMITED, detail, "raise it: ulimit -l unlimited")
    return Finding(_MACHINE, "RLIMIT_MEMLOCK", State.WORKS, f"{limit}; maps and programs do not count for it")


def _types() -> Iterator[Finding]:
    types = running_types()
    if types is None:
        detail = f"there is no {VMLINUX_BTF}, so CO-RE, fentry, kfuncs, iterators and struct_ops do not work"
        yield Finding(_MACHINE, "BTF", State.FAILS, detail, "use a kernel with CONFIG_DEBUG_INFO_BTF=y")
        return
    yield Finding(_MACHINE, "BTF", State.WORKS, f"{types.place}, {len(types.btf)} types")
    modules = [path.name for path in SYSFS_BTF.iterdir() if path.name != "vmlinux"] if SYSFS_BTF.is_dir() else []
    if modules:
        yield Finding(_MACHINE, "BTF of modules", State.WORKS, f"of {len(modules)} modules")
    else:
        detail = f"{SYSFS_BTF} lists none: no module with BTF is loaded"
        remedy = "if modules are needed, load them; a kernel with CONFIG_DEBUG_INFO_BTF_MODULES=y has their BTF"
        yield Finding(_MACHINE, "BTF of modules", State.UNKNOWN, detail, remedy)


def _symbols(root: Path) -> Finding:
    text = read_kallsyms(root / "proc/kallsyms")
    subject = "kallsyms"
    if not text:
        return Finding(
            _MACHINE,
            subject,
            State.FAILS,
            "there is no /proc/kallsyms: variables without a type (extern void … __ksym) are not found",
            "use a kernel with CONFIG_KALLSYMS=y",
        )
    if not shows_addresses(text):
        return Finding(
            _MACHINE,
            subject,
            State.LIMITED,
            "the names are shown, the addresses are hidden",
            "give the process CAP_SYSLOG, or set kernel.kptr_restrict to 0 or 1",
        )
    if not addresses_in(text, ["jiffies"])["jiffies"]:
        return Finding(
            _MACHINE,
            subject,
            State.LIMITED,
            f"{text.count(10)} symbols, functions only",
            "a kernel with CONFIG_KALLSYMS_ALL=y lists variables as well",
        )
    return Finding(_MACHINE, subject, State.WORKS, f"{text.count(10)} symbols")


def _mounts(present: list[Mount]) -> Iterator[Finding]:
    for kind, use, remedy in _FILE_SYSTEMS:
        found = [mount for mount in present if mount.kind == kind]
        if not found:
            yield Finding(_MACHINE, kind, State.FAILS, f"it is not mounted: {use}", remedy)
            continue
        # Whoever mounts over a mount point hides what was there.
        uppermost = {mount.place: mount for mount in present}
        visible = [mount for mount in found if uppermost[mount.place] == mount]
        places = ", ".join(dict.fromkeys(mount.place for mount in visible))
        read_only = [mount.place for mount in visible if "ro" in mount.options.split(",")]
        if not visible:
            yield Finding(_MACHINE, kind, State.FAILS, f"something is mounted over it: {found[-1].place}", remedy)
        elif read_only:
            detail = f"mounted at {places}, but {read_only[0]} is read-only"
            yield Finding(_MACHINE, kind, State.LIMITED, detail, f"mount -o remount,rw {read_only[0]}")
        else:
            yield Finding(_MACHINE, kind, State.WORKS, f"mounted at {places}")
    delegated = [mount.place for mount in present if mount.kind == "bpf" and "delegate_" in mount.options]
    if delegated:
        yield Finding(_MACHINE, "tokens", State.WORKS, f"{', '.join(delegated)} delegates some of bpf(2)")


_FILE_SYSTEMS = (
    ("bpf", "objects cannot be pinned", "mount -t bpf bpf /sys/fs/bpf"),
    (
        "tracefs",
        "no tracepoint is found, and kprobes need perf",
        "mount -t tracefs tracefs /sys/kernel/tracing",
    ),
    ("cgroup2", "there is nothing to attach programs of cgroups to", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
)


class _Switch(NamedTuple):
    """A sysctl: what its values mean, and which are no limit."""

    name: str
    meanings: dict[int, str]
    free: frozenset[int]
    remedy: str


_SWITCHES = (
    _Switch(
        "net.core.bpf_jit_enable",
        {0: "programs are interpreted", 1: "programs are compiled", 2: "programs are compiled, with a trace"},
        frozenset({1, 2}),
        "sysctl net.core.bpf_jit_enable=1: kfuncs and trampolines need the JIT",
    ),
    _Switch(
        "net.core.bpf_jit_harden",
        {0: "for nobody", 1: "for programs of the unprivileged", 2: "for all programs, which makes them slower"},
        frozenset({0, 1}),
        "sysctl net.core.bpf_jit_harden=1",
    ),
    _Switch(
        "kernel.unprivileged_bpf_disabled",
        {
            0: "everybody may load socket filters and programs for cgroup_skb",
            1: "bpf(2) takes CAP_BPF, until the next boot",
            2: "bpf(2) takes CAP_BPF",
        },
        frozenset({0, 1, 2}),
        "",
    ),
    _Switch(
        "kernel.perf_event_paranoid",
        {
            -1: "perf events are for everybody",
            0: "perf events of CPUs are for everybody",
            1: "perf events of the kernel are for everybody",
            2: "perf events of other processes and of the kernel take CAP_PERFMON",
            3: "perf events take CAP_PERFMON",
            4: "perf events take CAP_PERFMON",
        },
        frozenset(range(-1, 5)),
        "",
    ),
    _Switch(
        "kernel.kptr_restrict",
        {0: "kernel addresses are shown", 1: "kernel addresses take CAP_SYSLOG", 2: "kernel addresses are hidden"},
        frozenset({0, 1}),
        "sysctl kernel.kptr_restrict=1",
    ),
    _Switch(
        "kernel.bpf_stats_enabled",
        {0: "run times of programs are not counted", 1: "run times of programs are counted"},
        frozenset({0, 1}),
        "",
    ),
    _Switch(
        "kernel.ftrace_enabled",
        {0: "functions are not traced: neither fentry nor kprobe.multi works", 1: "functions can be traced"},
        frozenset({1}),
        "sysctl kernel.ftrace_enabled=1",
    ),
)


def _switches(root: Path) -> Iterator[Finding]:
    for switch in _SWITCHES:
        text = _read(root / "proc/sys" / switch.name.replace(".", "/")).strip()
        try:
            value = int(text)
        except ValueError:
            yield Finding(_SETTINGS, switch.name, State.UNKNOWN, "the kernel does not have it or does not show it")
            continue
        state = State.WORKS if value in switch.free else State.LIMITED
        detail = f"{value}: {switch.meanings.get(value, 'a value that is not known here')}"
        yield Finding(_SETTINGS, switch.name, state, detail, "" if state is State.WORKS else switch.remedy)


def _lockdown(situation: Situation) -> Finding:
    level = situation.lockdown
    if level == "confidentiality":
        detail = "confidentiality: kernel memory is not to be read by programs, and kprobes are refused"
        return Finding(_SETTINGS, "lockdown", State.LIMITED, detail, "boot with lockdown=integrity or without it")
    if level == "integrity":
        detail = "integrity: programs may not write user memory (bpf_probe_write_user)"
        return Finding(_SETTINGS, "lockdown", State.LIMITED, detail, "boot without lockdown=, if that is needed")
    if level is None:
        remedy = "mount -t securityfs securityfs /sys/kernel/security, and look again"
        return Finding(_SETTINGS, "lockdown", State.UNKNOWN, "the kernel does not show it", remedy)
    return Finding(_SETTINGS, "lockdown", State.WORKS, level)


def _security_modules(situation: Situation, root: Path) -> Finding:
    modules, subject = situation.security_modules, "security modules"
    if not modules:
        if (root / "sys/kernel/security").is_dir() and any((root / "sys/kernel/security").iterdir()):
            return Finding(_SETTINGS, subject, State.WORKS, "none is active")
        detail = "securityfs is not mounted, so they are not shown"
        remedy = "mount -t securityfs securityfs /sys/kernel/security"
        return Finding(_SETTINGS, subject, State.UNKNOWN, detail, remedy)
    listed = ",".join(modules)
    if "bpf" in modules:
        return Finding(_SETTINGS, subject, State.WORKS, listed)
    return Finding(
        _SETTINGS,
        subject,
        State.LIMITED,
        f"{listed}: bpf is not among them, so programs for LSM hooks are never called",
        f"boot with lsm={listed},bpf and a kernel with CONFIG_BPF_LSM=y",
    )


_OPTIONS = {
    "CONFIG_BPF_SYSCALL": "bpf(2)",
    "CONFIG_BPF_JIT": "compiled programs, kfuncs, trampolines",
    "CONFIG_BPF_JIT_ALWAYS_ON": "no interpreter",
    "CONFIG_BPF_UNPRIV_DEFAULT_OFF": "bpf(2) for the privileged alone",
    "CONFIG_DEBUG_INFO_BTF": "CO-RE, fentry, kfuncs, iterators, struct_ops",
    "CONFIG_DEBUG_INFO_BTF_MODULES": "the same for modules",
    "CONFIG_BPF_EVENTS": "tracing programs",
    "CONFIG_KPROBES": "kprobes",
    "CONFIG_KPROBE_EVENTS": "kprobes by perf and tracefs",
    "CONFIG_UPROBE_EVENTS": "uprobes, USDT",
    "CONFIG_FPROBE": "kprobe.multi",
    "CONFIG_FUNCTION_TRACER": "fentry, fexit, kprobe.multi",
    "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS": "trampolines: fentry, fexit, fmod_ret, lsm",
    "CONFIG_FTRACE_SYSCALLS": "tracepoints of system calls",
    "CONFIG_FUNCTION_ERROR_INJECTION": "fmod_ret of others than security hooks",
    "CONFIG_BPF_KPROBE_OVERRIDE": "bpf_override_return",
    "CONFIG_BPF_LSM": "LSM programs",
    "CONFIG_CGROUP_BPF": "programs of cgroups",
    "CONFIG_NET_CLS_BPF": "programs of tc",
    "CONFIG_NET_ACT_BPF": "actions of tc",
    "CONFIG_NET_SCH_INGRESS": "clsact",
    "CONFIG_NET_XGRESS": "tcx",
    "CONFIG_NETKIT": "netkit",
    "CONFIG_XDP_SOCKETS": "AF_XDP",
    "CONFIG_NETFILTER_BPF_LINK": "programs of netfilter",
    "CONFIG_BPF_STREAM_PARSER": "sockmap, sockhash",
    "CONFIG_LWTUNNEL_BPF": "programs of routes",
    "CONFIG_IPV6_SEG6_BPF": "lwt_seg6local",
    "CONFIG_BPF_LIRC_MODE2": "infrared receivers",
    "CONFIG_KALLSYMS_ALL": "addresses of variables",
    "CONFIG_IKCONFIG_PROC": "/proc/config.gz",
}
"""Options of the kernel's configuration, and what needs them."""

_LIMITING = frozenset({"CONFIG_BPF_UNPRIV_DEFAULT_OFF", "CONFIG_BPF_JIT_ALWAYS_ON", "CONFIG_IKCONFIG_PROC"})
"""Those without which nothing is lost."""


def _options() -> Iterator[Finding]:
    found = running_config()
    if found is None:
        places = " and ".join(str(path) for path in config_places(os.uname().release))
        detail = f"neither of {places} can be read: variables of .kconfig are not known"
        remedy = "use a kernel with CONFIG_IKCONFIG_PROC=y, or give the configuration to the loader"
        yield Finding(_SETTINGS, "configuration", State.FAILS, detail, remedy)
        return
    text, source = found
    yield Finding(_SETTINGS, "configuration", State.WORKS, source)
    for name, use in _OPTIONS.items():
        value = option(text, name)
        if value or name in _LIMITING:
            yield Finding(_SETTINGS, name, State.WORKS, f"{value or 'n'}: {use}")
        else:
            yield Finding(_SETTINGS, name, State.FAILS, f"not set: {use}", f"use a kernel with {name}=y")
