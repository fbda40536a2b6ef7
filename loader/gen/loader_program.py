"""A LoaderProgram: instructions and data whose run does what loading an object would have done.

Data only, complete: everything that writes or runs a loader program takes no more than this. The program is of
type SYSCALL and finds its data in an ARRAY map of one element (index 0 of its `fd_array`). Its context is the
memory that `Context` describes; the first 24 bytes, the entries of maps and those of programs lie as libbpf's
`struct bpf_loader_ctx`, `bpf_map_desc` and `bpf_prog_desc`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bpfas.diag import Diagnostic
    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.gen.script import Script
    from bpfas.loader.spec import Image, MapSpec, ProgramSpec

LICENSE = "Dual BSD/GPL"
"""What the loader program itself is under: the kernel's helpers want that."""


class ContextField(NamedTuple):
    """A field in the first 24 bytes of the context: its place and size, in bytes."""

    offset: int
    size: int


SIZE = ContextField(0, 4)
FLAGS = ContextField(4, 4)
LOG_LEVEL = ContextField(8, 4)
LOG_SIZE = ContextField(12, 4)
LOG_ADDRESS = ContextField(16, 8)
HEADER_SIZE = 24
MAP_ENTRY_SIZE = 16
ENTRIES_OFFSET, CONTENTS_OFFSET = 4, 8
"""Where a map's entry has the number of entries, and the address of the contents."""
PROGRAM_ENTRY_SIZE = 4
CALLER_IS_KERNEL = 1
"""The flag that addresses in the context are the kernel's."""


class MapEntry(NamedTuple):
    """A map's 16 bytes at `offset`: its descriptor (s32; given before, the map is not created), the number of
    entries to make it with (u32, 0 for the object's), the address of its first contents (u64, 0 for the object's).
    """

    spec: MapSpec
    offset: int


class ProgramEntry(NamedTuple):
    """A program's 4 bytes at `offset`: its descriptor (s32), 0 if it is not among those that are loaded.

    What is not 0 before (-1, as a rule) keeps the program from being loaded, and makes it 0.
    """

    spec: ProgramSpec
    offset: int
    is_loaded: bool


class FactKind(enum.Enum):
    """What of the machine, or of other programs, a loader program has to be told by whoever runs it."""

    TOKEN = "token_fd"  # noqa: S105 # the descriptor of a BPF token, 0 for none
    ARENA_ADDRESS = "address"  # of an arena: where whoever runs the program will have it mapped
    TARGET = "target_fd"  # of a program: the descriptor of the program whose function it replaces
    TARGET_TYPE = "target_type"  # of a program: the type id of that function in the target's BTF
    VALUE_SIZE = "value_size"  # of a struct_ops map: bytes of the kernel's struct bpf_struct_ops_…
    MEMBER_INDEX = "member_index"  # of a program of struct_ops: the number of its member in the kernel's struct


class Fact(NamedTuple):
    """A number of 64 bits at `offset` of the context; `subject` is the map or program that it is about."""

    kind: FactKind
    subject: str
    offset: int


class Context(NamedTuple):
    """The layout of the memory that a loader program is given; offsets and sizes in bytes.

    Behind maps and programs, on a multiple of 8: the number of the step that failed (u32, written by the program;
    counted by `Script.numbered_steps`, 0 if none has), 4 bytes of nothing, and the facts.
    """

    maps: tuple[MapEntry, ...]
    programs: tuple[ProgramEntry, ...]
    failed_step: int
    facts: tuple[Fact, ...]
    size: int


class Scheme(enum.Enum):
    """How a loader program is made to be signed."""

    HASH_IN_PROGRAM = "6.18"  # the instructions are signed, and compare the data with a hash
    EARLY_HASH_IN_PROGRAM = "6.18-early"  # the same for kernels whose programs cannot see who owns the data
    INSTRUCTIONS_AND_DATA = "newer"  # both are signed, and the kernel compares


class Signature(NamedTuple):
    """A detached signature (CMS, DER) by the scheme that the program was made for."""

    scheme: Scheme
    data: bytes


class LoaderProgram(NamedTuple):
    """Instructions and data, and what was made into them.

    `name` is that of the object without directories and suffix. `image` is the object as it was configured;
    `kconfig` the text of options that counts before the kernel's configuration. A program made for a signature
    has a `scheme`: then the context cannot change what was signed. `warnings` tell what is left out.
    """

    name: str
    byte_order: ByteOrder
    instructions: bytes
    data: bytes
    context: Context
    script: Script
    image: Image
    kconfig: str = ""
    scheme: Scheme | None = None
    signature: Signature | None = None
    warnings: tuple[Diagnostic, ...] = ()
