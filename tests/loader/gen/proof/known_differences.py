"""Where what the kernel has of an object may depend on whether a loader program has loaded it, and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Way(enum.Enum):
    """By whom a loader program is made and run."""

    RUNNER = "our runner"
    MODULE = "the Python module"
    HEADER = "the C header"
    BPFTOOL = "bpftool's header"


@dataclass(frozen=True, slots=True)
class Difference:
    """Fields of ProgramFacts or MapFacts that differ, of these programs or maps of an object (all where empty)."""

    reason: str
    fields: tuple[str, ...]
    ways: tuple[Way, ...] = tuple(Way)
    object: str = ""
    names: tuple[str, ...] = ()


KNOWN_DIFFERENCES = (
    Difference(
        "the running program sets the timer with its own address, which is another one each time",
        ("instructions",),
        object="special_fields",
        names=("start",),
    ),
    Difference(
        "an arena lies where there is room for it, and its address is in the instructions",
        ("extra", "instructions"),
        object="arena",
    ),
    Difference(
        "libbpf 1.1 has no option for the text that goes before the kernel's configuration",
        ("contents",),
        (Way.BPFTOOL,),
        object="kconfig",
    ),
    Difference(
        "parameters without names of the kernel's functions are called dummy_ksym by libbpf, r1 and so on by us",
        ("types",),
        (Way.BPFTOOL,),
    ),
    Difference(
        "libbpf's loader programs do not know the addresses of functions, and so find none",
        ("verified_instructions", "function_records", "line_records", "instructions"),
        (Way.BPFTOOL,),
        object="names_of_the_kernel",
        names=("functions", "functions_again"),
    ),
)

TOO_MANY_FUNCTIONS = "error -13"
"""Of more than 32 functions: libbpf's loader program reads behind its stack then, which the kernel refuses."""

OLD_MAPS = "legacy map definitions in 'maps' section are not supported"
CRASH = "exit status -11"
"""bpftool looks into the kernel's types for a struct of operations, and has none."""

NOT_BY_BPFTOOL = {
    "sections_network": TOO_MANY_FUNCTIONS,
    "sections_probes": TOO_MANY_FUNCTIONS,
    "functions": TOO_MANY_FUNCTIONS,
    "many_programs": TOO_MANY_FUNCTIONS,
    "many_maps": "Total maps exceeds 64",
    "references": ") .bss.custom",
    "data_sections": ") .bss.zeros",
    "locked_data": "error -12",  # the header wants to map all data into memory
    "arena": "skipping unrecognized data section",
    "jump_tables": "skipping unrecognized data section",
    "maps": "failed to load object 'maps'",  # it has maps of programs with contents
    "not_loaded": "failed to load object 'not_loaded'",  # the same
    "exceptions": "error -22",  # libbpf 1.1 does not know the tags that name callbacks
    "only_maps": "has no member named",  # the header does not compile
    "legacy_maps": OLD_MAPS,
    "ring": OLD_MAPS,
    "tail_calls": OLD_MAPS,
    "kernel_names": "failed to find BTF for extern",
    "struct_ops": CRASH,
    "struct_ops_link": CRASH,
    "struct_ops_two": CRASH,
    "data": "has no member named",  # the same: the data has no types
}
"""What libbpf's loader programs cannot load, and what is said of it by bpftool, the compiler or the header."""


def known_difference(way: Way, obj: str, name: str, field: str) -> bool:
    """Whether a field of a program or map called `name` may differ."""
    return any(
        way in each.ways
        and field in each.fields
        and (not each.object or obj == each.object)
        and (not each.names or name in each.names)
        for each in KNOWN_DIFFERENCES
    )
