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

    `instructions` are bytes in the image's byte order, complete but for the descriptors that `references` name.
    """

    name: str
    kernel_name: str
    section: str
    program_type: ProgramType
    instructions: bytes
    references: tuple[MapReference, ...] = ()
    expected_attach_type: int = NO_ATTACH_TYPE
    flags: ProgramFlag = NO_PROGRAM_FLAGS
    license: bytes = b""
    kernel_version: int = 0
    autoload: bool = True
    kind: SectionKind = UNKNOWN_SECTION

    @property
    def instruction_count(self) -> int:
        """Slots of 8 bytes, a 64-bit immediate load counting as two."""
        return len(self.instructions) // SLOT_SIZE


@dataclass(frozen=True, slots=True)
class Image:
    """Maps and programs by name, in the order in which they are created and loaded."""

    name: str
    byte_order: ByteOrder
    maps: dict[str, MapSpec] = field(default_factory=dict)
    programs: dict[str, ProgramSpec] = field(default_factory=dict)


def kernel_name(name: str) -> str:
    """`name` as the kernel takes it: 15 characters of letters, digits, `_` and `.`, `_` for all others."""
    valid = (char if char.isascii() and (char.isalnum() or char in "_.") else "_" for char in name)
    return "".join(valid)[:KERNEL_NAME_LENGTH]
