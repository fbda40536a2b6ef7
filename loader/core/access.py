"""The access string of a CO-RE relocation: `0:1:3` is a way from a type to a member, an element or an enumerator.

The first number is an index, as of an array of the root type; each other one is the number of a member or an
element of what the way has led to. Steps leave anonymous members out, for what is in them belongs to the struct
around them.
Source: libbpf's relo_core.c; LLVM's BPFAbstractMemberAccess.cpp makes the strings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import BPF_POINTER_SIZE, size_of
from bpfas.diag import BpfasError
from bpfas.loader.core.compatible import ENUMS, STRUCTS
from bpfas.loader.core.kinds import ENUMERATOR_KINDS, TYPE_KINDS, CoreKind

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf
    from bpfas.loader.spec import CoreRelocation

MAX_STEPS = 64
"""Numbers of an access string."""

_NUMBERS = re.compile(r"[0-9]{1,10}(:[0-9]{1,10})*")


class Step(NamedTuple):
    """A step of an access.

    With a `name`, it leads to the member (or enumerator) of this number in the type; else to the element of this
    number, which is of the type.
    """

    type_id: int
    number: int
    name: str = ""


class Access(NamedTuple):
    """What a relocation is about, in a program's types or in a kernel's; without steps, the root type itself.

    `bit_offset` is that of the field from the root's start.
    """

    btf: Btf
    root: int
    steps: tuple[Step, ...] = ()
    bit_offset: int = 0
    pointer_size: int = BPF_POINTER_SIZE

    @property
    def text(self) -> str:
        """`struct task_struct.comm[3]`, `enum pid_type::PIDTYPE_SID`."""
        root = type_text(self.btf, self.root)
        if self.steps and self.steps[0].name:
            return f"{root}::{self.steps[0].name}"
        inner = self.steps if self.steps and self.steps[0].number else self.steps[1:]
        return root + "".join(f".{step.name}" if step.name else f"[{step.number}]" for step in inner)


def type_text(btf: Btf, type_id: int) -> str:
    """A type as a declaration refers to it: `struct task_struct`, `pid_t`, `char *`."""
    return btf.name(type_id) if btf.kind(type_id) is Kind.TYPEDEF else declaration(btf, type_id)


def is_flexible(btf: Btf, array_id: int, steps: tuple[Step, ...] | list[Step]) -> bool:
    """Whether an array that steps lead to is the last member of a struct and of no length, so that any index is
    within.
    """
    last = steps[-1]
    return not btf.array(array_id).nelems and bool(last.name) and last.number == btf.vlen(last.type_id) - 1


def local_access(btf: Btf, relocation: CoreRelocation, kind: CoreKind) -> Access:
    """What a relocation is about in the program's types. Raises BpfasError if the access string leads nowhere."""
    root = relocation.type_id
    if kind in TYPE_KINDS:
        if relocation.access != "0":
            raise _error(btf, relocation, "is not `0`, which it is of relocations about types")
        return Access(btf, root)
    if not _NUMBERS.fullmatch(relocation.access):
        raise _error(btf, relocation, "is no list of numbers")
    numbers = [int(number) for number in relocation.access.split(":")]
    if len(numbers) > MAX_STEPS:
        raise _error(btf, relocation, f"has {len(numbers)} numbers, but up to {MAX_STEPS} are possible")
    root_type = btf.without_qualifiers(root)
    if kind in ENUMERATOR_KINDS:
        return Access(btf, root, (_enumerator(btf, relocation, root_type, numbers),))
    size = size_of(btf, root_type)
    if size is None:
        raise _error(btf, relocation, "begins with a type that has no size")
    steps = [Step(root_type, numbers[0])]
    bit_offset = 8 * size * numbers[0]
    current = root_type
    for number in numbers[1:]:
        current = btf.without_qualifiers(current)
        kind_there = btf.kind(current)
        if kind_there in STRUCTS:
            if number >= btf.vlen(current):
                raise _error(btf, relocation, _outside(btf, current, number, "members", btf.vlen(current)))
            member = btf.member(current, number)
            bit_offset += member.bit_offset
            if member.name:
                steps.append(Step(current, number, member.name))
            current = member.type_id
        elif kind_there is Kind.ARRAY:
            array = btf.array(current)
            if number >= array.nelems and not is_flexible(btf, current, steps):
                raise _error(btf, relocation, _outside(btf, current, number, "elements", array.nelems))
            current = btf.without_qualifiers(array.element)
            steps.append(Step(current, number))
            bit_offset += 8 * number * (size_of(btf, current) or 0)
        else:
            raise _error(btf, relocation, f"leads into `{type_text(btf, current)}`, which has nothing inside")
    return Access(btf, root, tuple(steps), bit_offset)


def _enumerator(btf: Btf, relocation: CoreRelocation, enum_id: int, numbers: list[int]) -> Step:
    if btf.kind(enum_id) not in ENUMS:
        raise _error(btf, relocation, "is about an enumerator, but the type is no enumeration")
    if len(numbers) > 1 or numbers[0] >= btf.vlen(enum_id):
        raise _error(btf, relocation, f"is no number of one of the {btf.vlen(enum_id)} enumerators")
    return Step(enum_id, numbers[0], btf.enumerators(enum_id)[numbers[0]].name)


def _outside(btf: Btf, type_id: int, number: int, what: str, count: int) -> str:
    return f"leads to number {number} of `{type_text(btf, type_id)}`, which has {count} {what}"


def _error(btf: Btf, relocation: CoreRelocation, message: str) -> BpfasError:
    root = type_text(btf, relocation.type_id)
    return BpfasError.of(f"the access `{relocation.access}` to `{root}` {message}", btf.place)
