"""What the kernel lacks of what a CO-RE relocation asks for, in words, with what is near to it there."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.loader.core.access import type_text
from bpfas.loader.core.compatible import ENUMS, STRUCTS
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.core.kinds import ENUMERATOR_KINDS, TYPE_KINDS, WORDS, CoreKind
from bpfas.loader.core.matching import Target
from bpfas.loader.nearest import close_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bpfas.btf.btf import Btf
    from bpfas.loader.core.matching import Mismatch
    from bpfas.loader.core.resolver import CoreResolver, Resolution

_Reason = tuple[str, tuple[str, ...]]
_NEAR = 3
_KEYWORDS = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}


class CoreFailure:
    """A CO-RE relocation that the kernel cannot satisfy.

    `instruction` counts slots from the program's start, `access` is what it is about (`struct task_struct.pids`).
    Why it is so is found out when somebody asks, for most programs never come to such an instruction.
    """

    def __init__(self, instruction: int, resolution: Resolution, explain: Callable[[], _Reason]) -> None:
        self.instruction = instruction
        self.kind: CoreKind = resolution.kind
        self.access = resolution.local.text
        self._explain = explain

    def __repr__(self) -> str:
        return f"CoreFailure({self.instruction}, {self.text!r})"

    @cached_property
    def _reason(self) -> _Reason:
        return self._explain()

    @property
    def reason(self) -> str:
        """What is lacking, a sentence."""
        return self._reason[0]

    @property
    def near(self) -> tuple[str, ...]:
        """What the kernel has that is called alike."""
        return self._reason[1]

    @property
    def text(self) -> str:
        """All of it, as messages have it."""
        near = f"; did you mean {' or '.join(self.near)}?" if self.near else ""
        return f"the {WORDS[self.kind]} of {self.access}: {self.reason}{near}"


def missing(instruction: int, resolution: Resolution, resolver: CoreResolver) -> CoreFailure:
    """Why there is nothing in the kernel that a relocation of the instruction leads to."""
    return CoreFailure(instruction, resolution, lambda: _missing_words(resolution, resolver))


def ill_sized(instruction: int, resolution: Resolution) -> CoreFailure:
    """Why a load or store of the program cannot be made one of what the kernel has."""
    return CoreFailure(instruction, resolution, lambda: _size_words(resolution))


def _missing_words(resolution: Resolution, resolver: CoreResolver) -> _Reason:
    if not resolution.mismatches:
        return _no_type_words(resolution, resolver)
    # Of several types, the one that has the most of it.
    return _mismatch_words(resolution, max(resolution.mismatches, key=lambda mismatch: mismatch.step))


def _size_words(resolution: Resolution) -> _Reason:
    texts = [
        f"`{declaration(access.btf, value.type_id)}` of {value.size} bytes in the {where}"
        for access, value, where in (
            (resolution.local, resolution.old, "program"),
            (resolution.target, resolution.new, "kernel"),
        )
        if access and value
    ]
    reason = (
        f"it is {' and '.join(texts)}, and only pointers and unsigned integers can be accessed with another size; "
        "let a flavour of the type have what this kernel has, or read the field by its bpf_core_field_size()"
    )
    return reason, ()


def _no_type_words(resolution: Resolution, resolver: CoreResolver) -> _Reason:
    btf, root = resolution.local.btf, resolution.local.root
    kernel, stem, kind = resolver.kernel_types(), stem_of(btf.name(root)), btf.kind(root)
    what = f"{_KEYWORDS[kind]} {stem}" if kind in _KEYWORDS else stem
    others = [kernel.btf.kind(type_id) for type_id in kernel.ids_with_stem(stem)]
    others = [other for other in others if other is not kind]
    if others and kind is not Kind.FWD:
        return f"in the kernel, {stem} is a {others[0].name}, and a {kind.name} in the program", ()
    if kind is Kind.FWD:
        return f"the program only declares {stem}, and what is declared only has no like in the kernel", ()
    kinds = ENUMS if kind in ENUMS else (kind,)
    return f"the kernel has no {what}", near_names(stem, kernel.names(*kinds))


def _mismatch_words(resolution: Resolution, mismatch: Mismatch) -> _Reason:
    btf, there = mismatch.btf, type_text(mismatch.btf, mismatch.type_id)
    if resolution.kind in TYPE_KINDS:
        verb = "does not match" if resolution.kind is CoreKind.TYPE_MATCHES else "is not compatible with"
        return f"the kernel's {there} {verb} the program's", ()
    step = resolution.local.steps[mismatch.step]
    if resolution.kind in ENUMERATOR_KINDS:
        if btf.kind(mismatch.type_id) not in ENUMS:
            return f"in the kernel, {there} is no enumeration", ()
        names = [enumerator.name for enumerator in btf.enumerators(mismatch.type_id)]
        return f"the kernel's {there} has no {stem_of(step.name)}", near_names(step.name, names)
    if step.name:
        return _no_member_words(resolution, mismatch, there)
    if btf.kind(mismatch.type_id) is Kind.ARRAY:
        count = btf.array(mismatch.type_id).nelems
        return f"in the kernel, the array has {count} elements", ()
    return f"in the kernel, it is `{there}` and not an array", ()


def _no_member_words(resolution: Resolution, mismatch: Mismatch, there: str) -> _Reason:
    btf, step = mismatch.btf, resolution.local.steps[mismatch.step]
    if mismatch.found:
        local = resolution.local.btf
        mine = declaration(local, local.member(step.type_id, step.number).type_id)
        other = declaration(btf, mismatch.found)
        return f"member {step.name} is `{mine}` in the program and `{other}` in the kernel's {there}", ()
    if btf.kind(mismatch.type_id) not in STRUCTS:
        return f"in the kernel, what should have the member {step.name} is `{there}`", ()
    return f"the kernel's {there} has no member {step.name}", near_members(btf, mismatch.type_id, step.name)


def near_members(btf: Btf, struct_id: int, name: str) -> tuple[str, ...]:
    """The members of a struct that are called alike."""
    return near_names(name, Target(btf).members(struct_id))


def near_names(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Some of the names that are like a name, or have it inside, the most similar first."""
    known = dict.fromkeys(stem_of(other) for other in names)
    near = close_matches(name, known, _NEAR)
    near += [other for other in known if name in other and other not in near]
    return tuple(near[:_NEAR])
