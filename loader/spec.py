"""The Image: what bpf(2) needs to know of an object, independent of the running kernel.

Data only. `bpfas.loader.image` makes an Image from an object, `bpfas.loader.collection` loads it. To change one
before loading, make a changed copy with `dataclasses.replace`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.isa import SLOT_SIZE
from bpfas.loader.kinds import NO_ATTACH_TYPE, NO_PROGRAM_FLAGS, ProgramFlag, ProgramType
from bpfas.loader.sections import UNKNOWN_SECTION, SectionKind

if TYPE_CHECKING:
    from bpfas.elf.constants import ByteOrder

KERNEL_NAME_LENGTH = 15
"""Characters of a name that the kernel keeps (BPF_OBJ_NAME_LEN less the final NUL)."""


class ReferenceKind(enum.Enum):
    """What a 64-bit immediate load takes from a map."""

    MAP_FD = "map"  # a pointer to the map
    MAP_VALUE = "value"  # a pointer into the value of the only element of an array map


@dataclass(frozen=True, slots=True)
class MapReference:
    """A 64-bit immediate load whose first imm waits for the descriptor of a map.

    `instruction` counts slots of 8 bytes from the program's start; `offset` is in bytes from the value's start.
    """

    instruction: int
    map_name: str
    kind: ReferenceKind
    offset: int = 0


class ExternSource(enum.Enum):
    """Where the loading phase looks for a name that no object defines."""

    KERNEL_FUNCTION = "kernel function"
    KERNEL_VARIABLE = "kernel variable"  # by its type, in the kernel's BTF
    KERNEL_ADDRESS = "kernel address"  # declared without a type: a number out of /proc/kallsyms
    KERNEL_NAME = "kernel name"  # asked for by name alone: any of the three
    NOWHERE = "nowhere"  # a weak name that nobody defines


@dataclass(frozen=True, slots=True)
class ExternSpec:
    """A name that no object defines.

    A weak one may be missing from the kernel: then its address is 0, and no call of it must be reached.
    """

    name: str
    source: ExternSource
    is_weak: bool = False
    is_called: bool = False


@dataclass(frozen=True, slots=True)
class ExternReference:
    """A call or a 64-bit immediate load of an ExternSpec's name; `instruction` counts slots of 8 bytes."""

    instruction: int
    name: str


class BindingKind(enum.Enum):
    """What a name that an object leaves open is bound to."""

    OBJECT = "object"  # another object's definition
    KERNEL = "kernel"
    NOTHING = "nothing"  # a weak name
    OPEN = "open"  # a strong name, with which an object cannot be loaded


@dataclass(frozen=True, slots=True)
class Binding:
    """A name that some object uses without defining it.

    `definition` is the place that defines it (empty where no object does), `uses` the places in code that use it.
    """

    name: str
    is_weak: bool
    kind: BindingKind
    definition: str
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map to create. Sizes are in bytes.

    `contents` is the value of key 0 at the start, None where the map starts as the kernel makes it. A `frozen`
    map is closed to writes from user space once it is filled. `map_type` is a MapType where the table has it.
    """

    name: str
    kernel_name: str
    map_type: int
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int = 0
    contents: bytes | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program to load: its own instructions followed by those of every function that it calls.

    `instructions` are bytes in the image's byte order, complete but for the descriptors that `references` name and
    for what `externs` name.
    """

    name: str
    kernel_name: str
    section: str
    program_type: ProgramType
    instructions: bytes
    references: tuple[MapReference, ...] = ()
    externs: tuple[ExternReference, ...] = ()
    expected_attach_type: int = NO_ATTACH_TYPE
    flags: ProgramFlag = NO_PROGRAM_FLAGS
    license: bytes = b""
    kernel_version: int = 0
    autoload: bool = True
    kind: SectionKind = UNKNOWN_SECTION

    @property
    def attach_target(self) -> str:
        """What the section's name says behind the first `/`."""
        return self.section.partition("/")[2]

    @property
    def instruction_count(self) -> int:
        """Slots of 8 bytes, a 64-bit immediate load counting as two."""
        return len(self.instructions) // SLOT_SIZE


@dataclass(frozen=True, slots=True)
class Image:
    """Maps and programs by name, in the order in which they are created and loaded; names that are left open.

    `externs` are what the programs' ExternReferences name, `bindings` all names that are not the object's own.
    """

    name: str
    byte_order: ByteOrder
    maps: dict[str, MapSpec] = field(default_factory=dict)
    programs: dict[str, ProgramSpec] = field(default_factory=dict)
    externs: dict[str, ExternSpec] = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()


def kernel_name(name: str) -> str:
    """`name` as the kernel takes it: 15 characters of letters, digits, `_` and `.`, `_` for all others."""
    valid = (char if char.isascii() and (char.isalnum() or char in "_.") else "_" for char in name)
    return "".join(valid)[:KERNEL_NAME_LENGTH]
