"""What a program is loaded for: a function, tracepoint or hook of the kernel, or a function of a loaded program.

It is found by its name in the BTF of vmlinux, of modules, or of the loaded program (`SEC("freplace/NAME")`),
which must have been loaded with BTF. Source: libbpf 1.8; bpf(2) BPF_PROG_GET_FD_BY_ID, BPF_OBJ_GET.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import syscall
from bpfas.loader.errors import Step, load_error
from bpfas.loader.kinds import AttachType, ProgramType
from bpfas.loader.nearest import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.loader.kernel.kernel import Kernel, KernelBtf
    from bpfas.loader.spec import ProgramSpec

_LARGEST_ID = (1 << 32) - 1
_PROGRAM_LINK = "anon_inode:bpf-prog"
_MAX_NAME = 127
"""Bytes of a name that the kernel looks at."""


class AttachTarget(NamedTuple):
    """What a program is attached to: a type in the BTF of vmlinux or of a module.

    A program that is attached to many functions of a module has a `type_id` of 0.
    """

    type_id: int
    owner: KernelBtf


class TargetForm(NamedTuple):
    """What BTF has for a kind of target: its kind, what stands before its name, and what people call it."""

    kind: Kind
    prefix: str
    words: str


_FUNCTION = TargetForm(Kind.FUNC, "", "function")
_FORMS = {
    AttachType.TRACE_RAW_TP: TargetForm(Kind.TYPEDEF, "btf_trace_", "tracepoint"),
    AttachType.LSM_MAC: TargetForm(Kind.FUNC, "bpf_lsm_", "LSM hook"),
    AttachType.LSM_CGROUP: TargetForm(Kind.FUNC, "bpf_lsm_", "LSM hook"),
    AttachType.TRACE_ITER: TargetForm(Kind.FUNC, "bpf_iter_", "iterator"),
}
TARGET_PREFIXES = tuple(form.prefix for form in _FORMS.values() if form.prefix)
_MANY = frozenset({AttachType.TRACE_FENTRY_MULTI, AttachType.TRACE_FEXIT_MULTI, AttachType.TRACE_FSESSION_MULTI})
_TARGETED = frozenset({ProgramType.TRACING, ProgramType.LSM})


def target_form(program: ProgramSpec) -> TargetForm | None:
    """What kind of the kernel's types `program` is attached to by its type and attach type; None for none."""
    if program.program_type not in _TARGETED:
        return None
    is_known = program.expected_attach_type in set(AttachType)
    return _FORMS.get(AttachType(program.expected_attach_type), _FUNCTION) if is_known else _FUNCTION


def is_for_many(program: ProgramSpec) -> bool:
    """Whether `program` is loaded for many functions at once, and for none of them by its type id."""
    return program.expected_attach_type in _MANY


def find_attach_target(
    program: ProgramSpec, kernel: Kernel, diagnostics: Diagnostics, image_name: str = ""
) -> AttachTarget | None:
    """What of the kernel `program` is attached to by its `attach_target`: `NAME`, `vmlinux:NAME`, `MODULE:NAME`.

    Without a module's name vmlinux comes first, then each module. None for a program that is attached to nothing
    in the kernel's BTF, and where something is wrong, which goes to `diagnostics` with `image_name` as the place.
    """
    form = target_form(program)
    if form is None:
        return None
    at = f"{image_name}:({program.section})" if image_name else f"program {program.name}"
    search = _Search(program, form, kernel, diagnostics, at)
    if is_for_many(program):
        return search.module_of_many()
    if not program.attach_target:
        report_no_target(program, form, at, diagnostics)
        return None
    return search.in_kernel()


def report_no_target(program: ProgramSpec, form: TargetForm, at: str, diagnostics: Diagnostics) -> None:
    """Say that nothing tells what `program` is attached to."""
    message = f"section '{program.section}' does not say which {form.words} '{program.name}' is attached to"
    placeholder = form.words.rpartition(" ")[2].upper()
    remedy = f"name the section {program.section}/{placeholder}, or set the program's target"
    diagnostics.error(message, at, (remedy,))


class _Search:
    """Looking for what one program is attached to."""

    def __init__(
        self, program: ProgramSpec, form: TargetForm, kernel: Kernel, diagnostics: Diagnostics, at: str
    ) -> None:
        self.program = program
        self.kernel = kernel
        self.diagnostics = diagnostics
        self.at = at
        self.form = form

    def module_of_many(self) -> AttachTarget | None:
        """The module that a program for many functions names before a colon; None for functions of vmlinux."""
        module, colon, _ = self.program.attach_target.partition(":")
        owners = self.owners(module) if colon and module != "vmlinux" else None
        return AttachTarget(0, owners[0]) if owners else None

    def in_kernel(self) -> AttachTarget | None:
        """What the kernel or one of its modules has."""
        target = self.program.attach_target
        module, _, name = target.rpartition(":")
        if self.kernel.types is None:
            what = f"{self.form.words} '{name}', which program '{self.program.name}' is attached to"
            remedy = "use a kernel with CONFIG_DEBUG_INFO_BTF=y; kprobe/FUNCTION and raw_tp/NAME do without"
            self.diagnostics.error(f"{what}, cannot be looked up: the kernel has no BTF", self.at, (remedy,))
            return None
        wanted = self.form.prefix + name
        if len(wanted.encode(errors="surrogateescape")) > _MAX_NAME:
            message = f"'{wanted}', which program '{self.program.name}' is attached to, is a name too long"
            self.diagnostics.error(message, self.at, (f"{_MAX_NAME} bytes are possible",))
            return None
        # Most targets are in vmlinux, and then no module's types have to be read.
        found = None if module else self.named(wanted, [self.kernel.types])
        owners = None if found else self.owners(module)
        if owners is not None:
            found = self.named(wanted, owners)
            if found is None:
                self.report_missing(name, module, owners)
        return found

    def named(self, wanted: str, owners: Sequence[KernelBtf]) -> AttachTarget | None:
        """The first type of the right kind and name that one of these has."""
        for owner in owners:
            for type_id in owner.ids_named(wanted):
                if owner.btf.kind(type_id) is self.form.kind:
                    return AttachTarget(type_id, owner)
        return None

    def owners(self, module: str) -> Sequence[KernelBtf] | None:
        """Those whose types are searched: all, or the one that is named. None if there is no such module."""
        vmlinux = [self.kernel.types] if self.kernel.types else []
        if module == "vmlinux":
            return vmlinux
        modules = self.kernel.modules()
        if not module:
            return [*vmlinux, *modules]
        # Files and messages write the names of modules with - as well; the kernel has _ in them.
        if named := [owner for owner in modules if owner.name == module.replace("-", "_")]:
            return named
        known = [owner.name for owner in modules]
        notes = did_you_mean(module, ["vmlinux", *known]) or (f"load it: modprobe {module}",)
        message = f"no module '{module}' with BTF is loaded, in which program '{self.program.name}' has its target"
        self.diagnostics.error(message, self.at, notes)
        return None

    def report_missing(self, name: str, module: str, owners: Sequence[KernelBtf]) -> None:
        """Say that none of the searched types has the target's name."""
        kind, prefix, words = self.form
        where = f"module {module}" if module and module != "vmlinux" else "the kernel"
        known = [
            other.removeprefix(prefix)
            for owner in owners
            for other in owner.names(kind)
            if other.startswith(prefix)
        ]
        notes = did_you_mean(name.rpartition("/")[2], known)
        if kind is Kind.FUNC and not prefix and any(self.kernel.addresses([name])[name]):
            reasons = "whose name is there twice or whose parameters the compiler changed"
            notes += (f"/proc/kallsyms has it; BTF leaves out functions {reasons}; kprobe/{name} does without",)
        elif not module:
            count = len(owners) - 1
            notes += (f"its {count} modules have none either" if count else "no module with BTF is loaded",)
        message = f"{where} has no {words} '{name}' in its BTF, which program '{self.program.name}' is attached to"
        self.diagnostics.error(message, self.at, notes)


class Target:
    """A loaded program whose function is replaced or traced, its descriptor, and its functions by name."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        with _told(self.name):
            data = syscall.prog_btf(fd)
        if not data:
            raise BpfasError.of(
                "it has no BTF, so none of its functions can be replaced",
                self.name,
                ("load it from an object compiled with -g, by a loader that gives its BTF to the kernel",),
            )
        btf = read_btf(data, HOST_ORDER, self.name)
        self._functions = {btf.name(type_id): type_id for type_id in btf.ids_of_kind(Kind.FUNC)}

    def function(self, name: str, program_name: str) -> int:
        """The type id of the function that the program `program_name` is attached to, or replaces."""
        if name in self._functions:
            return self._functions[name]
        near = nearest(name, self._functions, count=1)
        listed = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(self._functions) or 'none'}"
        message = f"there is no function '{name}', which program '{program_name}' is to replace"
        raise BpfasError.of(message, self.name, (listed,))


@contextlib.contextmanager
def open_target(target: str | os.PathLike[str] | int) -> Iterator[Target]:
    """The program with an id, or pinned at a path. Raises LoadError or BpfasError if there is no such program."""
    name = f"program {target}" if isinstance(target, int) else os.fspath(target)
    if isinstance(target, int) and not 0 < target <= _LARGEST_ID:
        raise BpfasError.of(f"an id is a number from 1 to {_LARGEST_ID}", name)
    with _told(name):
        fd = syscall.prog_get_fd_by_id(target) if isinstance(target, int) else syscall.obj_get(os.fspath(target))
    try:
        if os.readlink(Path("/proc/self/fd") / str(fd)) != _PROGRAM_LINK:
            raise BpfasError.of("what is pinned here is no program", name, ("bpftool prog show lists programs",))
        yield Target(name, fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise load_error(Step.OPEN_TARGET, name, error) from error
