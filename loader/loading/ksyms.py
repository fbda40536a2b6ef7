"""What a kernel has by the names that an image leaves to it: functions, variables, addresses.

Functions and typed variables come from the BTF of vmlinux, then of modules, and must be what the program declares;
variables without a type come from the kernel's list of symbols. Source: libbpf 1.8; the kernel's
document kfuncs.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.loader.core.compatible import types_compatible
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.instructions import ABSENT_CALL, CALL, CallSource, LoadSource
from bpfas.loader.kernel.kernel import KernelType
from bpfas.loader.nearest import did_you_mean
from bpfas.loader.spec import ExternSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.diag import Diagnostics
    from bpfas.loader.instructions import Code
    from bpfas.loader.kernel.kernel import Kernel, KernelBtf
    from bpfas.loader.spec import ExternSpec, Image

_KFUNC_TAG = "bpf_kfunc"  # a DECL_TAG of every kfunc, since Linux 6.9
_SHOWN = "_stext"  # a symbol that every kernel has, and not at 0


class KernelSymbol(NamedTuple):
    """What a name stands for: a type in the BTF of `owner`, or where `type_id` is 0 an address, 0 for nothing."""

    type_id: int = 0
    address: int = 0
    owner: KernelBtf | None = None


class _Place(NamedTuple):
    """Where a kind of names is found: in the BTF's functions, variables, or the list of symbols."""

    words: str
    kinds: tuple[Kind, ...]
    has_address: bool = False


_PLACES = {
    ExternSource.KERNEL_FUNCTION: _Place("function", (Kind.FUNC,)),
    ExternSource.KERNEL_VARIABLE: _Place("variable", (Kind.VAR,)),
    ExternSource.KERNEL_ADDRESS: _Place("symbol", (), has_address=True),
    ExternSource.KERNEL_NAME: _Place("function or variable", (Kind.FUNC, Kind.VAR), has_address=True),
    ExternSource.NOWHERE: _Place("symbol", ()),
}


def find_externs(image: Image, kernel: Kernel, diagnostics: Diagnostics) -> dict[str, KernelSymbol]:
    """What each of the names in `image.externs` stands for.

    Strong names that the kernel does not have, and names that are something else there than the program declares,
    go to `diagnostics`; the result is then not complete.
    """
    search = _Search(image, kernel, diagnostics)
    by_address: list[ExternSpec] = []
    for name, extern in image.externs.items():
        place = _place(extern)
        found = search.in_btf(extern, place) if place.kinds else None
        search.found[name] = KernelSymbol(found.type_id, owner=found.owner) if found else KernelSymbol()
        if found is not None or search.is_refused(name):
            continue
        if place.has_address:
            by_address.append(extern)
        elif not extern.is_weak:
            search.report_missing(extern, place)
    if by_address:
        search.find_addresses(by_address)
    return search.found


def write_extern(code: Code, index: int, symbol: KernelSymbol, number: int) -> None:
    """Put what the extern of this number stands for into the call or 64-bit immediate load at `index`.

    What says of which module a type is, a descriptor or the index of one, is left to be written: it is not known
    before the program is loaded.
    """
    if code.opcode(index) == CALL:
        code.set_src(index, CallSource.KFUNC if symbol.type_id else CallSource.HELPER)
        code.set_imm(index, symbol.type_id or ABSENT_CALL + number)
        return
    code.set_src(index, LoadSource.BTF_ID if symbol.type_id else LoadSource.IMMEDIATE)
    code.set_imm(index, symbol.type_id or symbol.address & 0xFFFFFFFF)
    code.set_imm(index + 1, symbol.address >> 32)


def _place(extern: ExternSpec) -> _Place:
    """Where to look for a name; only functions can be called."""
    is_any = extern.source is ExternSource.KERNEL_NAME
    return _PLACES[ExternSource.KERNEL_FUNCTION if is_any and extern.is_called else extern.source]


class _Search:
    """Looking for an image's names in one kernel."""

    def __init__(self, image: Image, kernel: Kernel, diagnostics: Diagnostics) -> None:
        self.image = image
        self.kernel = kernel
        self.diagnostics = diagnostics
        self.found: dict[str, KernelSymbol] = {}
        self._refused: set[str] = set()

    def is_refused(self, name: str) -> bool:
        """Whether the kernel has the name, but as something else."""
        return name in self._refused

    def in_btf(self, extern: ExternSpec, place: _Place) -> KernelType | None:
        """The kernel's type of a name, the first that fits; None where there is none or it counts as none."""
        misfit = None
        for kind in place.kinds:
            for candidate in self._candidates(extern.name, kind):
                if self._fits(extern, kind, candidate):
                    return candidate
                misfit = misfit or candidate
        # A weak function that is something else is as good as missing; libbpf makes this difference, too.
        if misfit is not None and not (extern.is_weak and Kind.FUNC in place.kinds):
            self._refused.add(extern.name)
            self._report_misfit(extern, place, misfit)
        return None

    def _candidates(self, name: str, kind: Kind) -> Iterator[KernelType]:
        """The types of a kind by a name: those of vmlinux, and those of modules if they are asked for."""
        # Of a function, what stands behind three underscores is the program's own affair.
        wanted = stem_of(name) if kind is Kind.FUNC else name
        for owner in self._owners():
            for type_id in owner.ids_named(wanted):
                if owner.btf.kind(type_id) is kind:
                    yield KernelType(owner, type_id)

    def _owners(self) -> Iterator[KernelBtf]:
        if self.kernel.types is not None:
            yield self.kernel.types
            yield from self.kernel.modules()

    def _fits(self, extern: ExternSpec, kind: Kind, candidate: KernelType) -> bool:
        """Whether the kernel's type is what the program declares, if it declares any."""
        types, (owner, type_id) = self.image.types, candidate
        if types is None or not extern.type_id or types.kind(extern.type_id) is not kind:
            return True
        # FUNCs have their prototypes there, variables their types.
        declared, theirs = types.size_or_type(extern.type_id), owner.btf.size_or_type(type_id)
        return types_compatible(types, declared, owner.btf, theirs, forwards=True)

    def _report_misfit(self, extern: ExternSpec, place: _Place, misfit: KernelType) -> None:
        types, (owner, type_id) = self.image.types, misfit
        assert types is not None  # without types everything fits
        self.diagnostics.error(
            f"the kernel's {place.words} '{extern.name}' is not what the program declares",
            self.image.name,
            (
                f"declared is {declaration(types, extern.type_id)}",
                f"{owner.name} has {declaration(owner.btf, type_id)}",
                "declare it as this kernel has it",
            ),
        )

    def report_missing(self, extern: ExternSpec, place: _Place) -> None:
        """Say that the kernel's BTF lacks a name."""
        name, types = extern.name, self.kernel.types
        if types is None:
            message = f"'{name}' cannot be looked up: the kernel has no BTF"
            notes: tuple[str, ...] = ("use a kernel with CONFIG_DEBUG_INFO_BTF=y",)
            self.diagnostics.error(message, self.image.name, notes)
            return
        is_function = Kind.FUNC in place.kinds
        modules = self.kernel.modules()
        known = _kfunc_names(types) if is_function else list(types.names(Kind.VAR))
        for module in modules:
            known += module.names(Kind.FUNC if is_function else Kind.VAR)
        notes = did_you_mean(stem_of(name) if is_function else name, known)
        looked = f"its {len(modules)} modules have none either" if modules else "no module with BTF is loaded"
        notes += (f"{looked}; declare it weak if the program can do without",)
        if not is_function:
            notes += (
                "of variables, the kernel's BTF has the per-CPU ones; declared as void, others may be found",
            )
        self.diagnostics.error(f"the kernel has no {place.words} '{name}' in its BTF", self.image.name, notes)

    def find_addresses(self, externs: list[ExternSpec]) -> None:
        """Look names up in the list of symbols."""
        addresses = self.kernel.addresses([_SHOWN, *(extern.name for extern in externs)])
        is_shown = any(address for known in addresses.values() for address in known)
        for extern in externs:
            known = addresses[extern.name]
            if len(known) == 1 and is_shown:
                self.found[extern.name] = KernelSymbol(address=min(known))
            elif not self.kernel.is_running and not is_shown:
                message = f"the address of '{extern.name}' is not known, so 0 stands for it"
                self.diagnostics.warning(message, self.image.name)
            elif known or not extern.is_weak:
                self._report_address(extern.name, known, is_shown=is_shown)

    def _report_address(self, name: str, known: set[int], *, is_shown: bool) -> None:
        if known and not is_shown:
            message = f"the address of '{name}' is hidden: /proc/kallsyms shows none to this process"
            remedy = "give the process CAP_SYSLOG (run it as root), or set kernel.kptr_restrict to 0 or 1"
        elif known:
            listed = ", ".join(hex(address) for address in sorted(known))
            message = f"the kernel has '{name}' at {len(known)} addresses: {listed}"
            remedy = "use a name that it has once"
        else:
            message = f"the kernel has no symbol '{name}' in /proc/kallsyms"
            remedy = (
                "kernels without CONFIG_KALLSYMS_ALL list functions only; declare it weak if the program can do "
                "without"
            )
        self.diagnostics.error(message, self.image.name, (remedy,))


def _kfunc_names(types: KernelBtf) -> list[str]:
    """The functions that programs may call; all functions where the kernel does not tell."""
    btf = types.btf
    kfuncs = [
        btf.name(btf.size_or_type(tag)) for tag in btf.ids_of_kind(Kind.DECL_TAG) if btf.name(tag) == _KFUNC_TAG
    ]
    return kfuncs or list(types.names(Kind.FUNC))
