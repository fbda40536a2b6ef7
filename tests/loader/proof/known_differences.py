"""Where what the kernel has of an object may depend on who loaded it, and why."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from tests.loader.kernel_support import Need, Requirement, what_is_wrong


@dataclass(frozen=True, slots=True)
class Difference:
    """Fields of ProgramFacts or MapFacts that differ, of the programs or maps `names` of an object (all if empty).

    With `without`, they do only on kernels that lack it.
    """

    object: str
    names: tuple[str, ...]
    fields: tuple[str, ...]
    reason: str
    without: Requirement | None = None


def version_behind_the_release() -> str:
    """Looks whether Debian's kernel tells its version in its release, and not only behind it."""
    system = os.uname()
    version = re.search(r"Debian (\d+\.\d+\.\d+)", system.version)
    if version and not system.release.startswith(version[1]):
        return f"it is {version[1]}, but is called {system.release}"
    return ""


VERSION_IN_RELEASE = Requirement("release that is its version", version_behind_the_release)

GCC_DECLARATIONS = (
    "GCC 12 writes declarations of unions that kernels refuse, so that libbpf goes on without types; we mend them"
)

KNOWN_DIFFERENCES = (
    Difference("sections_network by gcc", (), ("key_type", "value_type", "types"), GCC_DECLARATIONS),
    Difference("sections_cgroup by gcc", (), ("key_type", "value_type", "types"), GCC_DECLARATIONS),
    Difference(
        "ksyms",
        (),
        ("types",),
        "parameters without names of the kernel's functions are called dummy_ksym by libbpf, r1 and so on by us",
    ),
    Difference(
        "ksyms_module",
        (),
        ("types",),
        "the same",
    ),
    Difference(
        "ksyms",
        ("functions", "function_behind_a_guess"),
        ("tag",),
        "libbpf 1.1 calls helper 0 for a function that the kernel lacks, later ones a number that tells which",
    ),
    Difference(
        "ksyms",
        ("flavours",),
        ("tag", "verified_instructions", "line_records", "instructions"),
        "libbpf 1.1 does not take ___flavours off the names of kernel functions, later ones do",
    ),
    Difference(
        "kconfig",
        ("kconfig.kconfig",),
        ("contents",),
        "LINUX_HAS_SYSCALL_WRAPPER is found out by a kprobe in libbpf, and so is 0 without kprobes",
        without=Need.KPROBES,
    ),
    Difference(
        "kconfig",
        ("kconfig.kconfig",),
        ("contents",),
        "LINUX_KERNEL_VERSION is of the release in libbpf 1.1; later ones look for Debian's version first",
        without=VERSION_IN_RELEASE,
    ),
)


def known_difference(obj: str, name: str, field: str) -> bool:
    """Whether a field of a program or map called `name` may differ on the running kernel."""
    return any(
        each.object == obj
        and (not each.names or name in each.names)
        and field in each.fields
        and (each.without is None or what_is_wrong(each.without))
        for each in KNOWN_DIFFERENCES
    )
