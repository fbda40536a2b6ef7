"""The programs that prove the linker: sets of files in `programs/`, and what comes out when they run.

A set is a folder; its files are the units, linked in the order of their names. A reason in `not_...` says
why a tool cannot do with the set what the tests ask of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "programs"
PACKET = bytes(64)

OLD_LIBBPF = "libbpf 1.1 does not know"


@dataclass(frozen=True, slots=True)
class Run:
    """A program, what it is given and what it gives back."""

    program: str
    retval: int
    data: bytes = PACKET
    context: bytes = b""


@dataclass(frozen=True, slots=True)
class Value:
    """What a map has under a key."""

    map_name: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Register:
    """A struct_ops map that the kernel takes as what it implements."""

    map_name: str


Step = Run | Value | Register


@dataclass(frozen=True, slots=True)
class ProgramSet:
    """Units that make one object, and what happens in order once that is loaded."""

    folder: str
    steps: tuple[Step, ...] = ()
    cpu: str = "v3"
    variant: str = ""
    """What tells the set from others of the same folder."""
    gcc_options: tuple[str, ...] = ()
    has_types: bool = True
    kconfig: tuple[str, ...] = ()
    not_by_libbpf: str = ""
    """Why libbpf does not load the linked object."""
    not_by_loader: str = ""
    """Why our loader does not load it."""
    not_by_bpftool: str = ""
    """Why libbpf's linker does not link it, or not to something that can be compared."""
    not_as_skeleton: str = ""
    """Why bpftool does not make a skeleton of it."""
    not_reversed: str = ""
    """Why it is not to be loaded when linked in the reverse order."""

    @property
    def name(self) -> str:
        """What tests call it."""
        return "-".join(filter(None, (self.folder, self.variant)))

    @property
    def sources(self) -> list[Path]:
        """The files, in the order in which they are linked."""
        return sorted((FOLDER / self.folder).iterdir())


def u32(*values: int) -> bytes:
    return struct.pack(f"={len(values)}I", *values)


def u64(*values: int) -> bytes:
    return struct.pack(f"={len(values)}Q", *values)


NO_TYPES = "libbpf's linker wants types of all that is not static"
GCC_EXTERN = "libbpf finds no types of what gcc 12 declares extern"

SETS = [
    ProgramSet("functions", (Run("first", 1017), Run("second", 23), Run("third", 55), Run("classify", 70))),
    ProgramSet(
        "variables",
        (
            Run("store", 317),
            Run("report", 482),
            Value(".data.custom", u32(0), u32(340, 101)),
        ),
        not_as_skeleton="bpftool 7.1 knows no .bss but .bss",
    ),
    ProgramSet("statics", (Run("run_one", 229), Run("run_two", 380), Run("run_three", 2310))),
    ProgramSet(
        "maps",
        (
            Run("insert", 42),
            Value("here", u32(7), u64(2, 42)),
            Value("there", u32(2), u64(5)),
            Value("there", u32(3), u64(42)),
            Value("last", u32(0), u64(2, 42)),
        ),
    ),
    ProgramSet("special_fields", (Run("guard", 51),)),
    ProgramSet("hidden", (Run("entry", 716),)),
    ProgramSet(
        "kconfig",
        (Run("entry", 2184),),
        kconfig=(
            "CONFIG_LINK_TEST_NUMBER=42",
            "CONFIG_LINK_TEST_FLAG=y",
            'CONFIG_LINK_TEST_TEXT="abc"',
            "CONFIG_LINK_TEST_MODULE=m",
        ),
    ),
    ProgramSet("ksyms", (Run("entry", 712),)),
    ProgramSet(
        "ksyms_shared",
        (Run("entry", 712),),
        not_by_bpftool="libbpf 1.1 asks for the size of a function that two files declare in .ksyms",
    ),
    ProgramSet("core", (Run("entry", 77, b"", u64(0)),)),
    ProgramSet(
        "map_values",
        (Run("write", 2), Run("read", 1000), Run("jump_near", 500), Run("jump_far", 600)),
        not_reversed="libbpf 1.1 fills a map of maps before it creates the inner ones behind it",
    ),
    ProgramSet("struct_ops", (Register("first"), Register("second"))),
    ProgramSet("tags", (Run("entry", 63),)),
    ProgramSet("types", (Run("entry", 95),)),
    ProgramSet("callbacks", (Run("entry", 2312),)),
    ProgramSet("exceptions", (Run("entry", 5, bytes(60)), Run("entry", 64))),
    ProgramSet("exception_callbacks", not_by_libbpf=f"{OLD_LIBBPF} callbacks of exceptions"),
    ProgramSet("license", (Run("entry", 6),)),
    ProgramSet(
        "arenas",
        cpu="v4",
        not_by_libbpf=f"{OLD_LIBBPF} arenas",
        not_as_skeleton=f"{OLD_LIBBPF} arenas",
        not_by_loader="the verifier sees no arena behind `head`",
    ),
    ProgramSet(
        "jump_tables",
        cpu="v4",
        not_by_libbpf=f"{OLD_LIBBPF} tables of jumps, nor does this kernel need to",
        not_as_skeleton=f"{OLD_LIBBPF} tables of jumps",
        not_by_loader="this kernel has no tables of jumps",
        not_by_bpftool="libbpf 1.1 wants types of tables of jumps",
    ),
    ProgramSet(
        "extern_in_section",
        (Run("entry", 27),),
        not_by_bpftool="libbpf 1.1 keeps the function among the section's variables, and does not load that",
    ),
    ProgramSet("assembler", (Run("entry", 359),), not_by_bpftool=NO_TYPES),
    ProgramSet("assembler_only", (Run("entry", 636),), not_by_bpftool=NO_TYPES, has_types=False),
    ProgramSet("gcc", (Run("entry", 176),), not_by_bpftool=NO_TYPES),
    ProgramSet("gcc_alone", (Run("entry", 77),), not_by_bpftool=NO_TYPES, has_types=False),
    ProgramSet(
        "gcc",
        (Run("entry", 176),),
        variant="btf",
        gcc_options=("-gbtf",),
        not_by_bpftool=GCC_EXTERN,
    ),
    ProgramSet(
        "gcc_alone",
        (Run("entry", 77),),
        variant="btf",
        gcc_options=("-gbtf",),
        not_by_bpftool=GCC_EXTERN,
    ),
]
