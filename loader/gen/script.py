"""A Script: what a loader program does, step by step, before it becomes instructions.

Data only. `bpfas.loader.gen.compose` makes a Script of an Image, `bpfas.loader.gen.emission.emit` the instructions
and the data of a Script, `bpfas.loader.gen.trace` its text. A Script says the same on every machine: what depends
on the machine is in Cells, which are filled when the program runs.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.syscall.bpf import Command


class Item(NamedTuple):
    """Bytes in the data of the loader program; items of one name are one item."""

    name: str
    data: bytes


class CellKind(enum.Enum):
    """What a Cell holds."""

    DESCRIPTOR = "descriptor"  # 32 bits in the table of descriptors, closed when loading fails
    NUMBER = "number"  # 64 bits


class Cell(NamedTuple):
    """A number that comes to be when the loader program runs, 0 until then; cells of one name are one cell."""

    name: str
    kind: CellKind = CellKind.DESCRIPTOR


class Address(NamedTuple):
    """The address of an item or a cell when the program runs; of the table of descriptors for None."""

    target: Item | Cell | None


class Input(NamedTuple):
    """A number of the context that whoever runs the program may set: `size` bytes at `offset`."""

    offset: int
    size: int


Value = int | bytes | Cell | Address | Input


class Place(enum.Enum):
    """Where a name is looked up, one place after the other."""

    FUNCTION = "FUNC"
    VARIABLE = "VAR"
    STRUCT = "STRUCT"
    TYPEDEF = "TYPEDEF"
    ADDRESS = "kallsyms"


class Owner(enum.Enum):
    """Whose BTF a type must be found in."""

    ANY = "any"
    VMLINUX = "vmlinux"
    MODULE = "module"


class Call(NamedTuple):
    """bpf(command, attributes): `fields` by the names of union bpf_attr, `result` the cell of the new descriptor.

    A number of the context that is not 0 takes the place of a field in `overrides`; a field in `flags_if` gets
    these bits if the number is not 0. What fails is tried again: without the fields `optional` (with 0 instead);
    while the kernel says EINVAL, `doublings` times with the field `doubled` doubled.
    """

    subject: str
    command: Command
    fields: tuple[tuple[str, Value], ...]
    result: Cell | None = None
    overrides: tuple[tuple[str, Input], ...] = ()
    flags_if: tuple[tuple[str, Cell | Input, int], ...] = ()
    optional: tuple[str, ...] = ()
    doubled: str = ""
    doublings: int = 0


class Find(NamedTuple):
    """Look a name up in the kernel, in `places` one after the other.

    A type's id goes to `type_id`, and the descriptor of its module's BTF, 0 for vmlinux, to `owner`; an address
    goes to `address`. All stay 0 where nothing is found, and where it is in the BTF of another than the expected
    owner. `symbol`, where it is not empty, must be an address that kallsyms has, as `module:function`.
    """

    name: str
    places: tuple[Place, ...]
    type_id: Cell
    owner: Cell
    address: Cell
    expected_owner: Owner = Owner.ANY
    symbol: str = ""


class Require(NamedTuple):
    """Fail (ENOENT) if nothing was found."""

    subject: str
    found: Find


class PatchLoad(NamedTuple):
    """Put what was found into 64-bit immediate loads: `instructions` count slots of `code`."""

    code: Item
    instructions: tuple[int, ...]
    found: Find


class PatchCall(NamedTuple):
    """Put the function that was found into calls; `absent` is the helper's number that stands for none."""

    code: Item
    instructions: tuple[int, ...]
    found: Find
    absent: int


class Fill(NamedTuple):
    """Let the context override an item: `given` is an address in the memory of who runs it, 0 for none."""

    subject: str
    item: Item
    given: Input


class Need(NamedTuple):
    """Fail (ENODATA) unless a number of the context is given."""

    subject: str
    given: Input


class Close(NamedTuple):
    """Close a descriptor and forget it."""

    cell: Cell


class UnlessGiven(NamedTuple):
    """Do `steps` unless a number of the context is given.

    A descriptor that is given goes to `cell`, where there is one, and is not closed when something fails.
    """

    given: Input
    cell: Cell | None
    steps: tuple[Step, ...]


Step = Call | Find | Require | PatchLoad | PatchCall | Fill | Need | Close | UnlessGiven


class Result(NamedTuple):
    """A descriptor that the program gives back: `cell` goes to `offset` of the context."""

    cell: Cell
    offset: int


class Script(NamedTuple):
    """The steps in order, and what is given back when all are done.

    `table` is the table of descriptors at the start of the data, all zeros at first: maps, and the modules of
    kernel functions, are named by their index there (`fd_array` of BPF_PROG_LOAD).
    """

    table: tuple[Cell, ...]
    steps: tuple[Step, ...]
    results: tuple[Result, ...]

    def numbered_steps(self) -> list[Step]:
        """All steps in the order in which they are done; the number of the first is 1."""
        return list(_flat(self.steps))


def _flat(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, UnlessGiven):
            yield from _flat(step.steps)
