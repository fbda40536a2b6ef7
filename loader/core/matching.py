"""Finding in a kernel's type what an access leads to in a program's type.

Members are found by their names, wherever in the kernel's type they are, anonymous structs and unions included.
Source: libbpf's relo_core.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from bpfas.btf.kinds import Kind
from bpfas.btf.sizes import pointer_size_of, size_of
from bpfas.diag import BpfasError
from bpfas.loader.core.access import MAX_STEPS, Access, Step, is_flexible
from bpfas.loader.core.compatible import ENUMS, STRUCTS, same_kind, types_compatible, types_match
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.core.kinds import ENUMERATOR_KINDS, TYPE_KINDS, CoreKind

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf, Member
    from bpfas.loader.kernel.kernel import KernelBtf


class Mismatch(NamedTuple):
    """What a type of the kernel lacks.

    `step` is the number of the access's first step that leads nowhere, `type_id` the kernel's type there, and
    `found` the type of a member that has the name but is of another sort (0: there is no such member). For what is
    not about steps, the type itself does not fit.
    """

    btf: Btf
    type_id: int
    step: int = 0
    found: int = 0


class _FoundMember(NamedTuple):
    """A member of a struct, perhaps within anonymous ones: what has it, its number there, and its offset."""

    struct_id: int
    number: int
    bit_offset: int
    member: Member


_targets: WeakKeyDictionary[KernelBtf, Target] = WeakKeyDictionary()


def target_of(owner: KernelBtf) -> Target:
    """The types of a kernel or module, with what was found out about them by earlier relocations."""
    target = _targets.get(owner)
    if target is None:
        target = _targets[owner] = Target(owner.btf)
    return target


class Target:
    """The types of a kernel, and what was found out about them while matching."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.pointer_size = pointer_size_of(btf)
        self._members: dict[int, dict[str, _FoundMember]] = {}

    def size_of(self, type_id: int) -> int | None:
        """The bytes of a value, as the kernel has it."""
        return size_of(self.btf, type_id, self.pointer_size)

    def members(self, struct_id: int, depth: int = 0) -> dict[str, _FoundMember]:
        """The members of a struct or union by name, with those of its anonymous members."""
        found = self._members.get(struct_id)
        if found is None:
            if depth == MAX_STEPS:
                message = f"type {struct_id} has anonymous members within one another, {MAX_STEPS} levels deep"
                raise BpfasError.of(message, self.btf.place)
            found = self._members[struct_id] = {}
            for index, member in enumerate(self.btf.members(struct_id)):
                if member.name:
                    found.setdefault(member.name, _FoundMember(struct_id, index, member.bit_offset, member))
                    continue
                inner_id = self.btf.without_qualifiers(member.type_id)
                if self.btf.kind(inner_id) in STRUCTS:
                    for name, inner in self.members(inner_id, depth + 1).items():
                        outer_offset = member.bit_offset + inner.bit_offset
                        found.setdefault(name, inner._replace(bit_offset=outer_offset))
        return found

    def match(self, access: Access, kind: CoreKind, root: int) -> Access | Mismatch:
        """What an access of a program leads to in the kernel's type `root`."""
        if kind in TYPE_KINDS:
            judge = types_match if kind is CoreKind.TYPE_MATCHES else types_compatible
            fits = judge(access.btf, access.root, self.btf, root)
            return self._access(root) if fits else Mismatch(self.btf, root)
        if kind in ENUMERATOR_KINDS:
            return self._enumerator(access, root)
        return self._field(access, root)

    def _access(self, root: int, steps: tuple[Step, ...] = (), bit_offset: int = 0) -> Access:
        return Access(self.btf, root, steps, bit_offset, self.pointer_size)

    def _enumerator(self, access: Access, root: int) -> Access | Mismatch:
        enum_id = self.btf.without_qualifiers(root)
        if self.btf.kind(enum_id) in ENUMS:
            stem = stem_of(access.steps[0].name)
            for index, enumerator in enumerate(self.btf.enumerators(enum_id)):
                if stem_of(enumerator.name) == stem:
                    return self._access(root, (Step(enum_id, index, enumerator.name),))
        return Mismatch(self.btf, enum_id)

    def _field(self, access: Access, root: int) -> Access | Mismatch:
        btf, steps = self.btf, list[Step]()
        bit_offset, current = 0, root
        for number, step in enumerate(access.steps):
            current = btf.without_qualifiers(current)
            if step.name:
                found = self.members(current).get(step.name) if btf.kind(current) in STRUCTS else None
                if not found:
                    return Mismatch(btf, current, number)
                local_member = access.btf.member(step.type_id, step.number)
                if not _fields_compatible(access.btf, local_member.type_id, btf, found.member.type_id):
                    return Mismatch(btf, current, number, found.member.type_id)
                steps.append(Step(found.struct_id, found.number, step.name))
                bit_offset += found.bit_offset
                current = found.member.type_id
                continue
            if number:
                if btf.kind(current) is not Kind.ARRAY:
                    return Mismatch(btf, current, number)
                array = btf.array(current)
                if step.number >= array.nelems and not is_flexible(btf, current, steps):
                    return Mismatch(btf, current, number)
                current = btf.without_qualifiers(array.element)
            size = self.size_of(current)
            if size is None:
                return Mismatch(btf, current, number)
            steps.append(Step(current, step.number))
            bit_offset += 8 * size * step.number
        return self._access(root, tuple(steps), bit_offset)


def _fields_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether a field of the kernel is of the same sort as the program's, so that it can be read as such."""
    while True:
        local_id, target_id = local.without_qualifiers(local_id), target.without_qualifiers(target_id)
        kind, other = local.kind(local_id), target.kind(target_id)
        if kind in STRUCTS and other in STRUCTS:
            return True
        if not same_kind(kind, other):
            return False
        match kind:
            case Kind.PTR | Kind.FLOAT:
                return True
            case Kind.FWD | Kind.ENUM | Kind.ENUM64:
                names = stem_of(local.name(local_id)), stem_of(target.name(target_id))
                return names[0] == names[1] or not all(names)
            case Kind.INT:
                return not local.encoding(local_id).bit_offset and not target.encoding(target_id).bit_offset
            case Kind.ARRAY:
                local_id, target_id = local.array(local_id).element, target.array(target_id).element
            case _:
                return False
