"""Resolving CO-RE relocations: from a record of the program's types to what the kernel's types say.

A kernel may have several types of a name. All that have what an access leads to must agree on it. Those that
lacked it are not asked any more when others had it. Modules' types are candidates where vmlinux has none of the
name.
Source: libbpf's libbpf.c and relo_core.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError
from bpfas.loader.core.access import Access, local_access, type_text
from bpfas.loader.core.compatible import same_kind
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.core.kinds import WORDS, CoreKind
from bpfas.loader.core.matching import Mismatch, target_of
from bpfas.loader.core.values import Value, value_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.kinds import Kind
    from bpfas.loader.kernel.kernel import KernelBtf, TypedKernel
    from bpfas.loader.spec import CoreRelocation


class Candidate(NamedTuple):
    """A type of a kernel that has the name of a program's type."""

    owner: KernelBtf
    type_id: int


class Resolution(NamedTuple):
    """What became of a relocation.

    `local` and `old` are what it is about in the program, `target` and `new` in the kernel, None where the kernel
    does not have it; `mismatches` say of each candidate what it lacks.
    """

    kind: CoreKind
    local: Access
    old: Value
    target: Access | None
    new: Value | None
    mismatches: tuple[Mismatch, ...] = ()


class CoreResolver:
    """The CO-RE relocations of an object whose types are `types`, for a kernel (None: where none is at hand).

    What was found for one relocation is kept for the next ones, so one resolver does for all programs.
    """

    def __init__(self, types: Btf, kernel: TypedKernel | None) -> None:
        self.types = types
        self.kernel = kernel
        self._resolutions: dict[tuple[int, str, int], Resolution | BpfasError] = {}
        self._candidates: dict[int, Sequence[Candidate]] = {}

    def resolve(self, relocation: CoreRelocation) -> Resolution:
        """What a relocation leads to.

        Raises BpfasError if it is malformed or ambiguous, or there are no types of a kernel.
        """
        key = relocation.type_id, relocation.access, relocation.kind
        if key not in self._resolutions:
            try:
                self._resolutions[key] = self._resolve(relocation)
            except BpfasError as error:
                self._resolutions[key] = error
        found = self._resolutions[key]
        if isinstance(found, BpfasError):
            raise found
        return found

    def candidates(self, type_id: int) -> Sequence[Candidate]:
        """The kernel's types that a type of the program may be."""
        if type_id not in self._candidates:
            self._candidates[type_id] = self._find_candidates(type_id)
        return self._candidates[type_id]

    def kernel_types(self) -> KernelBtf:
        """The types of vmlinux. Raises BpfasError where there are none."""
        if self.kernel is None or self.kernel.types is None:
            name = self.kernel.name if self.kernel else "no kernel"
            remedies = (
                "use a kernel with CONFIG_DEBUG_INFO_BTF=y",
                "or give the BTF of this very kernel, as BTFHub has it for many older ones",
            )
            message = f"CO-RE relocations need the types of the kernel, and {name} has none"
            raise BpfasError.of(message, self.types.object_name, remedies)
        return self.kernel.types

    def _resolve(self, relocation: CoreRelocation) -> Resolution:
        try:
            kind = CoreKind(relocation.kind)
        except ValueError as error:
            message = f"CO-RE relocations of kind {relocation.kind} are not known; known are 0 to {max(CoreKind)}"
            raise BpfasError.of(message, self.types.place, ("use a newer bpf-as",)) from error
        local = local_access(self.types, relocation, kind)
        old = value_of(local, kind)
        if kind is CoreKind.TYPE_ID_LOCAL:
            return Resolution(kind, local, old, local, old)
        if not self.types.name(relocation.type_id):
            message = f"`{local.text}` has no name by which the kernel could have it"
            raise BpfasError.of(message, self.types.place, ("give the type a name, as the kernel's has",))
        candidates = self.candidates(relocation.type_id)
        found, fitting, mismatches = list[tuple[Access, Value]](), list[Candidate](), list[Mismatch]()
        for candidate in candidates:
            match = target_of(candidate.owner).match(local, kind, candidate.type_id)
            if isinstance(match, Mismatch):
                mismatches.append(match)
                continue
            found.append((match, value_of(match, kind)))
            fitting.append(candidate)
            self._check_agreement(kind, local, found[0], found[-1])
        if not found:
            return Resolution(kind, local, old, None, None, tuple(mismatches))
        self._candidates[relocation.type_id] = fitting
        return Resolution(kind, local, old, *found[0])

    def _check_agreement(
        self, kind: CoreKind, local: Access, first: tuple[Access, Value], other: tuple[Access, Value]
    ) -> None:
        if first[0].bit_offset == other[0].bit_offset and first[1].number == other[1].number:
            return
        numbers = [access.bit_offset / 8 for access, _ in (first, other)]
        if numbers[0] == numbers[1]:
            numbers = [value.number for _, value in (first, other)]
        texts = " and ".join(
            f"{number:g} in type {access.root} ({type_text(access.btf, access.root)} of {access.btf.object_name})"
            for number, (access, _) in zip(numbers, (first, other), strict=True)
        )
        what = f"the {WORDS[kind]} of `{local.text}`"
        message = f"{what} is ambiguous: the kernel has several types of this name, and it is {texts}"
        remedy = "ask for a member that only the one type has first; that leaves the others out"
        raise BpfasError.of(message, self.types.place, (remedy,))

    def _find_candidates(self, type_id: int) -> list[Candidate]:
        stem, kind = stem_of(self.types.name(type_id)), self.types.kind(type_id)
        vmlinux = self.kernel_types()
        found = self._candidates_of(vmlinux, stem, kind)
        if not found and self.kernel:
            found = [
                candidate
                for module in self.kernel.modules()
                for candidate in self._candidates_of(module, stem, kind)
            ]
        return found

    @staticmethod
    def _candidates_of(owner: KernelBtf, stem: str, kind: Kind) -> list[Candidate]:
        ids = owner.ids_with_stem(stem)
        return [Candidate(owner, type_id) for type_id in ids if same_kind(kind, owner.btf.kind(type_id))]
