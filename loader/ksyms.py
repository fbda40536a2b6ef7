"""What the running kernel has by the names that an image leaves to it: functions, variables, addresses.

Functions and typed variables come from the kernel's BTF (those of modules are not looked for), variables without a
type from /proc/kallsyms. Source: loader.md §2.2 and §6.3; the kernel's document kfuncs.rst.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.diag import Diagnostics
from bpfas.loader.instructions import ABSENT_CALL, CALL, CallSource, LoadSource
from bpfas.loader.kernel_types import VMLINUX_BTF, kernel_types
from bpfas.loader.spec import ExternSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bpfas.loader.instructions import Code
    from bpfas.loader.kernel_types import KernelTypes
    from bpfas.loader.spec import ExternSpec

KALLSYMS = Path("/proc/kallsyms")
_FLAVOUR = re.compile(r"(.*[^_])___[^_].*")
_SOME_ADDRESS = re.compile(rb"^0*[1-9a-f]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KernelSymbol:
    """What a name stands for: a type in the kernel's BTF, or where `type_id` is 0 an address, 0 for nothing."""

    type_id: int = 0
    address: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a kind of names is found: in the BTF's functions, variables, or /proc/kallsyms."""

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


def find_in_kernel(externs: Iterable[ExternSpec], image_name: str) -> dict[str, KernelSymbol]:
    """What each name stands for. Raises BpfasError with all strong names that the kernel does not have."""
    diagnostics = Diagnostics()
    found: dict[str, KernelSymbol] = {}
    by_address: list[ExternSpec] = []
    for extern in externs:
        place = _place(extern)
        types = kernel_types() if place.kinds else None
        found[extern.name] = KernelSymbol(_type_id(types, place.kinds, extern.name) if types else 0)
        if found[extern.name].type_id:
            continue
        if place.has_address:
            by_address.append(extern)
        elif not extern.is_weak:
            diagnostics.error(*_missing(extern, place, types, image_name))
    if by_address:
        found |= _find_addresses(by_address, image_name, diagnostics)
    diagnostics.raise_if_errors()
    return found


def write_extern(code: Code, index: int, symbol: KernelSymbol, number: int) -> None:
    """Put what the extern of this number stands for into the call or 64-bit immediate load at `index`."""
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


def _type_id(types: KernelTypes, kinds: tuple[Kind, ...], name: str) -> int:
    # Of a function, what stands behind three underscores is the program's own affair.
    flavour = _FLAVOUR.fullmatch(name)
    names = {Kind.FUNC: flavour[1] if flavour else name}
    return next((found for kind in kinds if (found := types.type_id(kind, names.get(kind, name)))), 0)


def _missing(
    extern: ExternSpec, place: _Place, types: KernelTypes | None, image_name: str
) -> tuple[str, str, tuple[str, ...]]:
    """The message for a name that the kernel's BTF lacks."""
    if types is None:
        message = f"'{extern.name}' cannot be looked up: the kernel has no BTF ({VMLINUX_BTF})"
        return message, image_name, ("use a kernel with CONFIG_DEBUG_INFO_BTF=y",)
    is_function = Kind.FUNC in place.kinds
    known = types.kfunc_names() if is_function else types.names(Kind.VAR)
    near = difflib.get_close_matches(extern.name, known, n=3)
    notes = [f"did you mean {' or '.join(near)}?"] if near else []
    notes.append("those of modules are not looked for; declare it weak if the program can do without")
    if not is_function:
        notes.append("of variables, the kernel's BTF has the per-CPU ones; declared as void, others may be found")
    return f"the kernel has no {place.words} '{extern.name}' in its BTF", image_name, tuple(notes)


def _find_addresses(
    externs: Iterable[ExternSpec], image_name: str, diagnostics: Diagnostics
) -> Mapping[str, KernelSymbol]:
    try:
        text = KALLSYMS.read_bytes()
    except OSError:
        text = b""
    names = b"|".join(re.escape(extern.name.encode()) for extern in externs)
    symbols = re.compile(rb"^([0-9a-f]+) (\S) (%b)((?:\.llvm\.\w+)?)(?:\t.*)?$" % names, re.MULTILINE)
    addresses: dict[str, set[int]] = {extern.name: set() for extern in externs}
    for address, kind, name, suffix in symbols.findall(text):
        # Link-time optimisation renames static data.
        if not suffix or kind == b"d":
            addresses[name.decode()].add(int(address, 16))
    is_hidden = not _SOME_ADDRESS.search(text)
    found: dict[str, KernelSymbol] = {}
    for extern in externs:
        known = addresses[extern.name]
        if len(known) == 1 and not is_hidden:
            found[extern.name] = KernelSymbol(address=known.pop())
        elif known or not extern.is_weak:
            message, remedy = _no_address(extern.name, known, is_hidden=is_hidden)
            diagnostics.error(message, image_name, (remedy,))
    return found


def _no_address(name: str, known: set[int], *, is_hidden: bool) -> tuple[str, str]:
    if is_hidden:
        return (
            f"the address of '{name}' is hidden: {KALLSYMS} shows none to this process",
            "give the process CAP_SYSLOG (run it as root), or set kernel.kptr_restrict to 0 or 1",
        )
    if known:
        listed = ", ".join(hex(address) for address in sorted(known))
        return f"the kernel has '{name}' at {len(known)} addresses: {listed}", "use a name that it has once"
    return (
        f"the kernel has no symbol '{name}' in {KALLSYMS}",
        "kernels without CONFIG_KALLSYMS_ALL list functions only; declare it weak if the program can do without",
    )
