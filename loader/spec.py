"""The Image: what bpf(2) needs to know of an object, independent of the running kernel.

Data only. `bpfas.loader.image.build` makes an Image from an object, `bpfas.loader.loading.collection` loads it.
What an Image says of variables, maps and programs can be changed before that (`bpfas.loader.image.configure`).
"""

from __future__ import annotations

import enum
from array import array
from bisect import bisect_right
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from bpfas.isa import SLOT_SIZE
from bpfas.loader.kinds import NO_ATTACH_TYPE, NO_PROGRAM_FLAGS, ProgramFlag, ProgramType
from bpfas.loader.sections import UNKNOWN_SECTION, SectionKind
from bpfas.source_lines import line_of

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.diag import Diagnostic
    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.image.configure import ImageData
    from bpfas.objfile import ObjectFile, Section

KERNEL_NAME_LENGTH = 15
"""Characters of a name that the kernel keeps (BPF_OBJ_NAME_LEN less the final NUL)."""


class ReferenceKind(enum.Enum):
    """What a 64-bit immediate load takes from a map."""

    MAP_FD = "map"  # a pointer to the map
    MAP_VALUE = "value"  # a pointer into the value of the only element of an array map


class MapReference(NamedTuple):
    """A 64-bit immediate load whose first imm waits for the descriptor of a map.

    `instruction` counts slots of 8 bytes from the program's start; `offset` is in bytes from the value's start, in
    an arena from the start of its data.
    """

    instruction: int
    map_name: str
    kind: ReferenceKind
    offset: int = 0


class JumpTable(NamedTuple):
    """A table of a computed jump's targets, which becomes an INSN_ARRAY map of the program's own.

    `loads` are the 64-bit immediate loads that take its address, `targets` the instructions that it leads to; both
    count slots of 8 bytes from the program's start.
    """

    name: str
    loads: tuple[int, ...]
    targets: tuple[int, ...]


class CoreRelocation(NamedTuple):
    """An instruction that holds something about a type as the kernel has it (a CO-RE relocation record).

    `instruction` counts slots from the program's start, `type_id` is of the image's types, `access` as in `0:1:3`,
    `kind` is the number of enum bpf_core_relo_kind.
    """

    instruction: int
    type_id: int
    access: str
    kind: int


class ExternSource(enum.Enum):
    """Where the loading phase looks for a name that no object defines."""

    KERNEL_FUNCTION = "kernel function"
    KERNEL_VARIABLE = "kernel variable"  # by its type, in the kernel's BTF
    KERNEL_ADDRESS = "kernel address"  # declared without a type: a number out of /proc/kallsyms
    KERNEL_NAME = "kernel name"  # asked for by name alone: any of the three
    NOWHERE = "nowhere"  # a weak name that nobody defines


class ExternSpec(NamedTuple):
    """A name that no object defines.

    A weak one may be missing from the kernel: then its address is 0, and no call of it must be reached.
    `type_id` is what it is declared to be in the image's types, a VAR or FUNC; 0 where nothing declares it.
    """

    name: str
    source: ExternSource
    is_weak: bool = False
    is_called: bool = False
    type_id: int = 0


class KconfigKind(enum.Enum):
    """What a variable of `.kconfig` may hold, by its declared type."""

    BOOL = "bool"
    CHAR = "char"
    INTEGER = "integer"
    TRISTATE = "tristate"
    STRING = "string"


class KconfigVariable(NamedTuple):
    """A variable of the map `.kconfig`: its place there and its size, in bytes, and what it may hold.

    The name is that of a configuration option (CONFIG_…), or of what loaders know of the kernel (LINUX_…).
    """

    name: str
    kind: KconfigKind
    offset: int
    size: int
    is_signed: bool
    is_weak: bool


class ExternReference(NamedTuple):
    """A call or a 64-bit immediate load of an ExternSpec's name; `instruction` counts slots of 8 bytes."""

    instruction: int
    name: str


class BindingKind(enum.Enum):
    """What a name that an object leaves open is bound to."""

    OBJECT = "object"  # another object's definition
    KERNEL = "kernel"
    NOTHING = "nothing"  # a weak name
    OPEN = "open"  # a strong name, with which an object cannot be loaded


class Binding(NamedTuple):
    """A name that some object uses without defining it.

    `definition` is the place that defines it (empty where no object does), `uses` the places in code that use it.
    """

    name: str
    is_weak: bool
    kind: BindingKind
    definition: str
    uses: tuple[str, ...]


class Pinning(enum.Enum):
    """Whether a map is shared through a name in a BPF file system."""

    NONE = 0
    BY_NAME = 1  # <root>/NAME


class Variable(NamedTuple):
    """A global variable: its place in its map's value and its size, in bytes.

    `type_id` is the type of its value in the image's types, 0 where there is none. Those of data sections come
    from BTF where there is BTF, else from the symbol table.
    """

    name: str
    offset: int
    size: int
    type_id: int = 0
    is_static: bool = False


class Slot(NamedTuple):
    """An element that a map is filled with: another map, or (of a PROG_ARRAY) a program, by its name."""

    index: int  # type: ignore[assignment]  # hides a method of tuples
    name: str


class StructOps(NamedTuple):
    """What a STRUCT_OPS map is made from: an instance of a struct of operations.

    `type_id` is its STRUCT in the image's types; `programs` says by a member's name which program it calls.
    """

    type_id: int
    type_name: str
    programs: dict[str, str]
    is_link: bool


class MapSpec(NamedTuple):
    """A map to create. Sizes are in bytes.

    `contents` is the value of key 0 at the start (of an arena, the data at `data_offset` of it; of struct_ops, the
    instance), None where the map starts as the kernel makes it. A `frozen` map is closed to writes from user space
    once it is filled. `map_type` is a MapType where the table has it. `key_type` and `value_type` are of the
    image's types, 0 for none. `section` is the section of a map that holds global data. `max_entries` may be 0 for
    what depends on the machine (one for each CPU, in a PERF_EVENT_ARRAY) and be rounded up to what it asks for
    (ring buffers). `pin_path` overrides what `pinning` says. `exclusive_program` is the only program that may use
    the map, empty for any.
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
    map_extra: int = 0
    numa_node: int = 0
    ifindex: int = 0
    key_type: int = 0
    value_type: int = 0
    inner: MapSpec | None = None
    slots: tuple[Slot, ...] = ()
    pinning: Pinning = Pinning.NONE
    pin_path: str | None = None
    autocreate: bool = True
    section: str = ""
    variables: tuple[Variable, ...] = ()
    data_offset: int = 0
    struct_ops: StructOps | None = None
    exclusive_program: str = ""


class Part(NamedTuple):
    """A function in a program: the slot at which it begins there, and where its code is from, in bytes."""

    instruction: int
    name: str
    obj: ObjectFile
    section: Section
    offset: int

    def line(self, instruction: int) -> tuple[str, int] | None:
        """The file and line of an instruction, given as a slot of the program, if debug information tells."""
        return line_of(self.obj, self.section, self.offset + (instruction - self.instruction) * SLOT_SIZE)


_NO_WORDS: array[int] = array("I")
"""Shared by all programs without records, whose words nobody changes."""


class ProgramSpec(NamedTuple):
    """A program to load: its own instructions followed by those of every function that it calls.

    `instructions` are bytes in the image's byte order, complete but for the descriptors that `references` name,
    for what `externs` name, for `core` and for `jump_tables`. `func_info` has two words for each function (slot,
    type of the FUNC), `line_info` four for each line (slot, file name, text, line << 10 | column), with ids and
    string offsets of the image's types; both are empty where the object says nothing.
    `target` is what the program is loaded for or attached to, None for what the section's name says behind the
    first `/`. `parts` are the functions that it consists of, in order.
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
    core: tuple[CoreRelocation, ...] = ()
    jump_tables: tuple[JumpTable, ...] = ()
    func_info: array[int] = _NO_WORDS
    line_info: array[int] = _NO_WORDS
    target: str | None = None
    ifindex: int = 0
    parts: tuple[Part, ...] = ()

    @property
    def attach_target(self) -> str:
        """What the program is loaded for or attached to; what the section's name says, unless set otherwise."""
        return self.section.partition("/")[2] if self.target is None else self.target

    def part(self, instruction: int) -> Part | None:
        """The function that an instruction is of, by its slot from the program's start."""
        index = bisect_right(self.parts, instruction, key=lambda part: part.instruction) - 1
        return self.parts[index] if index >= 0 else None

    @property
    def instruction_count(self) -> int:
        """Slots of 8 bytes, a 64-bit immediate load counting as two."""
        return len(self.instructions) // SLOT_SIZE


class Image:
    """Maps and programs by name, in the order in which they are created and loaded; names that are left open.

    `externs` are what the programs' ExternReferences name, `kconfig` the variables of the map `.kconfig`,
    `bindings` all names that are not the object's own. `types` are the object's types as they were read,
    `kernel_btf` the bytes of the same ids that the kernel is given (None where the object has no types). `arena`
    is the name of the map that arena globals lie in. `warnings` tell what of the object is not used.
    """

    def __init__(
        self,
        name: str,
        byte_order: ByteOrder,
        maps: dict[str, MapSpec] | None = None,
        programs: dict[str, ProgramSpec] | None = None,
        externs: dict[str, ExternSpec] | None = None,
        bindings: tuple[Binding, ...] = (),
        kconfig: tuple[KconfigVariable, ...] = (),
        types: Btf | None = None,
        kernel_btf: bytes | None = None,
        arena: str = "",
        warnings: tuple[Diagnostic, ...] = (),
    ) -> None:
        self.name = name
        self.byte_order = byte_order
        self.maps = {} if maps is None else maps
        self.programs = {} if programs is None else programs
        self.externs = {} if externs is None else externs
        self.bindings = bindings
        self.kconfig = kconfig
        self.types = types
        self.kernel_btf = kernel_btf
        self.arena = arena
        self.warnings = warnings

    def __repr__(self) -> str:
        return f"<Image {self.name!r}: {len(self.maps)} maps, {len(self.programs)} programs>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # it can be changed

    def with_parts(
        self,
        *,
        programs: dict[str, ProgramSpec] | None = None,
        externs: dict[str, ExternSpec] | None = None,
        kernel_btf: bytes | None = None,
    ) -> Image:
        """The same image with other programs, externs or BTF for the kernel; what is not given stays."""
        other = copy(self)
        other.programs = self.programs if programs is None else programs
        other.externs = self.externs if externs is None else externs
        other.kernel_btf = self.kernel_btf if kernel_btf is None else kernel_btf
        return other

    @property
    def data(self) -> ImageData:
        """The values that global variables start with, by name: `image.data["threshold"] = 5`."""
        from bpfas.loader.image.configure import ImageData

        return ImageData(self)

    def set_map(self, name: str, **fields: Any) -> None:
        """Change a map: `image.set_map("counts", max_entries=1024)`.

        Fields are map_type, key_size, value_size, max_entries, map_flags, map_extra, numa_node, ifindex, pinning,
        pin_path (None for what `pinning` says), autocreate, exclusive_program (a name, empty for none); of maps
        that hold maps or programs, inner (a MapSpec or a map's name) and slots (names by index); of struct_ops,
        programs (names by member, None for none). Of maps that hold global data, value_size makes the last
        variable longer, where that is an array. Raises UnknownNameError for a name that there is not,
        ConfigurationError for a value that cannot be.
        """
        from bpfas.loader.image.configure import set_map

        set_map(self, name, **fields)

    def set_program(self, name: str, **fields: Any) -> None:
        """Change a program: `image.set_program("prog", section="kprobe/do_unlinkat", autoload=False)`.

        `section` makes it what programs of such a section are. Other fields are program_type,
        expected_attach_type, flags, autoload, target (None for what the section says), ifindex, license and
        kernel_version. Raises as `set_map` does.
        """
        from bpfas.loader.image.configure import set_program

        set_program(self, name, **fields)

    @property
    def numbered_externs(self) -> list[str]:
        """The names that are left open, in the order in which libbpf numbers them: `.kconfig` first."""
        return [*(variable.name for variable in self.kconfig), *sorted(self.externs)]


def kernel_name(name: str) -> str:
    """`name` as the kernel takes it: 15 characters of letters, digits, `_` and `.`, `_` for all others."""
    valid = (char if char.isascii() and (char.isalnum() or char in "_.") else "_" for char in name)
    return "".join(valid)[:KERNEL_NAME_LENGTH]


def file_name(name: str) -> str:
    """`name` as one that does not lead out of its directory: objects may call their maps `../x`."""
    return name.replace("/", "_")
