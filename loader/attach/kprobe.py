"""kprobes and kretprobes, one function (or address) at a time, and those of system calls.

By a perf event of the source `kprobe` (since Linux 4.17), else by an event of the tracing files.
Sources: libbpf 1.8; the kernel's documents kprobes.rst and kprobetrace.rst.
"""

from __future__ import annotations

import errno
import os
import platform
import re
from typing import TYPE_CHECKING, Literal

from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.kernel_functions import explain_missing_function, explain_refused_function, symbols
from bpfas.loader.attach.perf_event import attach_to_event, open_event, source_bit, source_type
from bpfas.loader.attach.probe_file import Probe, attach_by_tracing_file, has_probe_file
from bpfas.loader.attach.section_target import is_return, malformed, section_target, split_offset
from bpfas.loader.attach.tracefs import NOT_MOUNTED
from bpfas.loader.kernel.config_text import why_unset
from bpfas.loader.privilege import Explanation
from bpfas.loader.syscall.perf import PerfEvent

if TYPE_CHECKING:
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

Through = Literal["perf", "tracefs"]
"""What a probe is made by: a perf event of its own, or an event of the tracing files."""

_FORM = "FUNCTION[+OFFSET]"
_FUNCTION = re.compile(r"[A-Za-z0-9_.]+")
_SYSCALL_PREFIXES = {
    "x86_64": "__x64_sys_",
    "aarch64": "__arm64_sys_",
    "arm": "__arm_sys_",
    "s390x": "__s390x_sys_",
    "riscv64": "__riscv_sys_",
    "riscv32": "__riscv_sys_",
    "ppc64": "__powerpc64_sys_",
    "ppc64le": "__powerpc64_sys_",
    "ppc": "__powerpc_sys_",
    "mips": "__mips_sys_",
    "mips64": "__mips_sys_",
    **{f"i{generation}86": "__ia32_sys_" for generation in range(3, 7)},
}
"""How the functions of system calls begin where the kernel wraps them (CONFIG_ARCH_HAS_SYSCALL_WRAPPER)."""


def attach_kprobe(
    program: Attachable,
    *,
    function: str | None = None,
    offset: int = 0,
    address: int | None = None,
    retprobe: bool | None = None,
    cookie: int = 0,
    through: Through | None = None,
) -> Link:
    """Attach a program of type KPROBE to a function of the kernel, `offset` bytes behind its start.

    Without `function` or `address`, to that of the section (`kprobe/do_unlinkat+0x10`); `MODULE:FUNCTION` names
    one of a module. With `retprobe` (default: as the section says) it runs when the function returns. `cookie` is
    what bpf_get_attach_cookie() gives. Raises AttachError.
    """
    returns = is_return(program) if retprobe is None else retprobe
    if function is None and address is None:
        function, offset = _from_section(program)
    if returns and offset:
        explanation = Explanation("a function returns to one place, so a kretprobe has no offset", "leave it out")
        raise attach_error(program, f"kretprobe {function}+{offset:#x}", errno.EINVAL, explanation=explanation)
    place = f"{address:#x}" if address is not None else f"{function}" + (f"+{offset:#x}" if offset else "")
    target = f"{'kretprobe' if returns else 'kprobe'} {place}"

    def cause(number: int) -> Explanation | None:
        return _cause(number, function, address)

    if through == "perf" or (through is None and source_type("kprobe") is not None):
        event = _perf_event(program, target, function, offset, address, is_return=returns)
        return attach_to_event(program, target, open_event(program, target, event, None, 0, cause), cookie)
    if not has_probe_file("kprobe"):
        raise attach_error(program, target, errno.ENOENT, explanation=no_kprobes())
    probe = Probe("kprobe", function or "address", place, is_return=returns)
    return attach_by_tracing_file(program, target, probe, None, cookie, cause)


def attach_ksyscall(
    program: Attachable, *, syscall: str | None = None, retprobe: bool | None = None, cookie: int = 0
) -> Link:
    """Attach a program of type KPROBE to the kernel's function for a system call, by the call's name (`openat`).

    Without `syscall`, to that of the section (`ksyscall/openat`). What follows `retprobe` is as for kprobes.
    Raises AttachError.
    """
    name = section_target(program, "SYSCALL") if syscall is None else syscall
    if not _FUNCTION.fullmatch(name):
        raise malformed(program, name, "SYSCALL")
    function = syscall_function(name)
    returns = is_return(program) if retprobe is None else retprobe
    return attach_kprobe(program, function=function, retprobe=returns, cookie=cookie)


def syscall_function(name: str) -> str:
    """The kernel's function for the system call `name`, as far as its symbols tell."""
    prefix = _SYSCALL_PREFIXES.get(platform.machine(), "")
    candidates = [f"{prefix}{name}", f"__se_sys_{name}", f"sys_{name}", f"SyS_{name}"]
    known = symbols()
    return next((each for each in candidates if each in known), candidates[0])


def _from_section(program: Attachable) -> tuple[str, int]:
    text = section_target(program, _FORM)
    function, offset = split_offset(text)
    if not _FUNCTION.fullmatch(function):
        raise malformed(program, text, _FORM)
    return function, offset


def _perf_event(
    program: Attachable, target: str, function: str | None, offset: int, address: int | None, *, is_return: bool
) -> PerfEvent:
    kind = source_type("kprobe")
    if kind is None:
        raise attach_error(program, target, errno.ENOENT, explanation=no_kprobes())
    config = 1 << (source_bit("kprobe", "retprobe") or 0) if is_return else 0
    if address is not None:
        return PerfEvent(kind, config, config1=0, config2=address)
    return PerfEvent(kind, config, name=os.fsencode(function or ""), config2=offset)


def no_kprobes() -> Explanation:
    """Why there are no kprobes."""
    if unset := why_unset("CONFIG_KPROBES"):
        return Explanation(
            f"this kernel has no kprobes: {unset}",
            "use a kernel with CONFIG_KPROBES=y and CONFIG_KPROBE_EVENTS=y; or a tracepoint, or fentry",
        )
    if unset := why_unset("CONFIG_KPROBE_EVENTS"):
        return Explanation(
            f"this kernel has no events of kprobes: {unset}",
            "use a kernel with CONFIG_KPROBE_EVENTS=y",
        )
    return Explanation(
        "the kernel offers no kprobes: neither the perf event source 'kprobe' nor the file kprobe_events is there",
        f"use a kernel with CONFIG_KPROBE_EVENTS=y; {NOT_MOUNTED} where that file system is missing",
    )


def _cause(number: int, function: str | None, address: int | None) -> Explanation | None:
    """Why the kernel has refused to make the probe."""
    if address is not None:
        if number in (errno.EINVAL, errno.ENOENT, errno.EILSEQ, errno.EADDRNOTAVAIL):
            return Explanation(
                f"there is no place for a probe at {address:#x}",
                "give the address of an instruction of the kernel's text, one that is no target of patching",
            )
        return None
    name = (function or "").rpartition(":")[2]
    if number == errno.ENOENT:
        return explain_missing_function(name)
    if number == errno.EILSEQ:
        return Explanation(
            f"no instruction of '{name}' begins there", "give the offset of an instruction, or none for the start"
        )
    if number in (errno.EINVAL, errno.EADDRNOTAVAIL):
        return explain_refused_function(name) if name in symbols() else explain_missing_function(name)
    return None
