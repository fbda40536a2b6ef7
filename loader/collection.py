"""An Image into the kernel: maps created and filled, programs loaded, and the Collection that owns them.

The passes are `load_image`'s lines. Whatever fails, nothing is left behind: every descriptor that was opened
is closed before the exception leaves. What an object means is `bpfas.loader.image`'s part.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from typing import TYPE_CHECKING, NamedTuple, Self

from bpfas.diag import Diagnostics
from bpfas.elf.constants import ByteOrder
from bpfas.loader import syscall
from bpfas.loader.errors import LoadError, Step, VerifierError, explain
from bpfas.loader.instructions import Code
from bpfas.loader.kinds import ProgramType
from bpfas.loader.ksyms import find_in_kernel, write_extern
from bpfas.loader.replacement import open_target
from bpfas.loader.runtime.maps import Map
from bpfas.loader.runtime.programs import Program
from bpfas.loader.sections import SectionFlag, similar_sections

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from bpfas.loader.ksyms import KernelSymbol
    from bpfas.loader.replacement import Target
    from bpfas.loader.spec import Image, MapSpec, ProgramSpec

LOAD_ATTEMPTS = 5
"""How often a program is loaded in all while the kernel says EAGAIN."""
FIRST_LOG_SIZE = 1 << 20
LARGEST_LOG_SIZE = 1 << 29
"""Bytes of the verifier's log: the first buffer, and the largest power of two that the kernel takes."""

_FIRST_KEY = bytes(4)
_HOST_ORDER = ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG
_ORDER_WORDS = {ByteOrder.LITTLE: "little-endian", ByteOrder.BIG: "big-endian"}


class Collection:
    """Loaded maps and programs by name, and their descriptors.

    A context manager; leaving it, or `close()`, closes all descriptors, in the order opposite to loading.
    """

    def __init__(
        self, name: str, maps: dict[str, Map], programs: dict[str, Program], owner: contextlib.ExitStack
    ) -> None:
        self.name = name
        self.maps: Mapping[str, Map] = maps
        self.programs: Mapping[str, Program] = programs
        self._owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors. A second time it does nothing."""
        self._owner.close()


def load_image(image: Image, target: str | os.PathLike[str] | int | None = None) -> Collection:
    """Create the maps of `image` and load its programs.

    `target` is the id or the pinned path of the program whose functions those of type EXT replace. Programs
    of sections marked with `?` are left out. Raises BpfasError for an image that no kernel of this machine
    could take, before anything is done; VerifierError for a program that the verifier refuses; LoadError for
    everything else that the kernel refuses.
    """
    # Nothing is created for an image that cannot be loaded whole.
    check_image(image, has_target=target is not None)
    programs_to_load = [program for program in image.programs.values() if program.autoload]
    named = {reference.name for program in programs_to_load for reference in program.externs}
    kernel_symbols = find_in_kernel(
        [extern for name, extern in image.externs.items() if name in named], image.name
    )
    with contextlib.ExitStack() as target_stack, contextlib.ExitStack() as stack:
        opened = None if target is None else target_stack.enter_context(open_target(target))
        # Maps first: the programs hold their descriptors.
        maps = {name: _create_map(spec, image, stack) for name, spec in image.maps.items()}
        for name, spec in image.maps.items():
            _fill_map(maps[name], spec)
        # From here on the maps have their contents, and read-only ones can be relied on by the verifier.
        descriptors = {name: map_.fd for name, map_ in maps.items()}
        programs = {
            program.name: _load_program(program, image, descriptors, kernel_symbols, opened, stack)
            for program in programs_to_load
        }
        return Collection(image.name, maps, programs, stack.pop_all())


def check_image(image: Image, *, has_target: bool = False) -> None:
    """Raise BpfasError with all the reasons why `image` cannot be loaded on any kernel of this machine.

    `has_target` says that there is a program whose functions those of type EXT can replace.
    """
    diagnostics = Diagnostics()
    if image.byte_order is not _HOST_ORDER:
        given, host = _ORDER_WORDS[image.byte_order], _ORDER_WORDS[_HOST_ORDER]
        diagnostics.error(
            f"the object is {given}, but this machine is {host}",
            image.name,
            (f"assemble or compile it for {host}, or load it on a {given} machine",),
        )
    for program in image.programs.values():
        if program.autoload:
            _check_program(program, image, diagnostics, has_target=has_target)
    diagnostics.raise_if_errors()


def _check_program(program: ProgramSpec, image: Image, diagnostics: Diagnostics, *, has_target: bool) -> None:
    at = f"{image.name}:({program.section})"
    if program.program_type is ProgramType.UNSPEC:
        similar = similar_sections(program.section)
        hint = f"did you mean {' or '.join(similar)}?" if similar else "name the section xdp, tc, kprobe/..., ..."
        diagnostics.error(
            f"section '{program.section}' of program '{program.name}' stands for no program type", at, (hint,)
        )
    elif program.program_type is ProgramType.EXT:
        if not program.attach_target:
            message = f"section '{program.section}' does not say which function '{program.name}' replaces"
            diagnostics.error(message, at, ("name the section freplace/FUNCTION",))
        elif not has_target:
            message = f"program '{program.name}' replaces function '{program.attach_target}' of a loaded program"
            diagnostics.error(message, at, ("say of which: bpf-load --target ID or --target /sys/fs/bpf/PATH",))
    elif SectionFlag.ATTACH_BTF in program.kind.flags:
        diagnostics.error(
            f"program '{program.name}' needs an attach target in the kernel's BTF, which is not supported",
            at,
            ("kprobe/FUNCTION and raw_tp/NAME do without",),
        )
    elif program.program_type is ProgramType.STRUCT_OPS:
        diagnostics.error(f"program '{program.name}' belongs to struct_ops, which this loader does not create", at)


def _create_map(spec: MapSpec, image: Image, stack: contextlib.ExitStack) -> Map:
    try:
        fd = syscall.map_create(
            spec.kernel_name, spec.map_type, spec.key_size, spec.value_size, spec.max_entries, spec.map_flags
        )
    except OSError as error:
        # Whoever lacks a capability for the map is told at once of those that the programs will need.
        types = [program.program_type for program in image.programs.values()]
        raise _map_error(Step.CREATE_MAP, spec, error, types) from error
    created = Map(spec, fd, image.types)
    stack.callback(created.close)
    return created


def _fill_map(map_: Map, spec: MapSpec) -> None:
    step = Step.FILL_MAP
    try:
        if spec.contents is not None:
            syscall.map_update_elem(map_.fd, _FIRST_KEY, spec.contents)
        if spec.frozen:
            step = Step.FREEZE_MAP
            syscall.map_freeze(map_.fd)
    except OSError as error:
        raise _map_error(step, spec, error) from error


def _map_error(step: Step, spec: MapSpec, error: OSError, program_types: Sequence[ProgramType] = ()) -> LoadError:
    number = error.errno or 0
    return LoadError(step, f"map {spec.name}", number, explain(step, number, program_types))


def _load_program(
    program: ProgramSpec,
    image: Image,
    descriptors: Mapping[str, int],
    kernel_symbols: Mapping[str, KernelSymbol],
    target: Target | None,
    stack: contextlib.ExitStack,
) -> Program:
    code = Code(program.instructions, image.byte_order)
    for reference in program.references:
        code.set_imm(reference.instruction, descriptors[reference.map_name])
    externs = list(image.externs)
    for extern in program.externs:
        number = externs.index(extern.name)
        write_extern(code, extern.instruction, kernel_symbols[extern.name], number)
    replaced = None
    if program.program_type is ProgramType.EXT and target is not None:
        replaced = _Replaced(target.fd, target.function(program.attach_target, program.name))
    loaded = Program(program, _verify_and_load(program, bytes(code.data), externs, replaced))
    stack.callback(loaded.close)
    return loaded


class _Replaced(NamedTuple):
    """The function that a program of type EXT replaces."""

    attach_prog_fd: int
    attach_btf_id: int


def _verify_and_load(
    program: ProgramSpec, instructions: bytes, externs: Sequence[str], replaced: _Replaced | None
) -> int:
    """The descriptor of the loaded program. The log is asked for only once it is needed: it costs time."""
    try:
        return _attempt(program, instructions, replaced, None)
    except OSError as error:
        first = error
    log = syscall.LogBuffer(FIRST_LOG_SIZE)
    while True:
        try:
            return _attempt(program, instructions, replaced, log)
        except OSError as error:
            if error.errno == errno.ENOSPC and log.size < LARGEST_LOG_SIZE:
                log = syscall.LogBuffer(2 * log.size)
                continue
            failure = error
        break
    subject = f"program {program.name}"
    if log.text.strip():
        raise VerifierError(subject, failure.errno or 0, log.text, externs) from failure
    number = first.errno or 0
    raise LoadError(
        Step.LOAD_PROGRAM, subject, number, explain(Step.LOAD_PROGRAM, number, (program.program_type,))
    ) from first


def _attempt(
    program: ProgramSpec, instructions: bytes, replaced: _Replaced | None, log: syscall.LogBuffer | None
) -> int:
    attach_prog_fd, attach_btf_id = replaced or (0, 0)
    load = syscall.ProgramLoad(
        program.kernel_name,
        program.program_type,
        instructions,
        program.license,
        expected_attach_type=program.expected_attach_type,
        flags=program.flags,
        kernel_version=program.kernel_version,
        attach_prog_fd=attach_prog_fd,
        attach_btf_id=attach_btf_id,
    )
    attempts_left = LOAD_ATTEMPTS
    while True:
        attempts_left -= 1
        try:
            return syscall.prog_load(load, log)
        except OSError as error:
            if error.errno != errno.EAGAIN or not attempts_left:
                raise
