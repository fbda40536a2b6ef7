"""A Plan carried out: BTF, maps and programs into the kernel, and the Collection that owns them.

The passes are the lines of `load_plan`. Whatever fails, nothing is left behind: every descriptor that was opened
is closed, and every new pin taken away, before the exception leaves. What is asked for, and why, is
`bpfas.loader.loading.resolve`'s part.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from bpfas.diag import Diagnostics
from bpfas.elf.constants import HOST_ORDER, ByteOrder
from bpfas.loader import syscall
from bpfas.loader.kernel.running import RunningKernel
from bpfas.loader.loading.btf_loading import load_btf
from bpfas.loader.loading.collection import Collection
from bpfas.loader.loading.map_creation import create_maps, fill_program_slots
from bpfas.loader.loading.options import NO_OPTIONS
from bpfas.loader.loading.program_loading import load_program
from bpfas.loader.loading.resolve import resolve
from bpfas.loader.loading.session import Session, open_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.loader.kernel.kernel import Kernel
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.loading.plan import Plan
    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.runtime.programs import Program
    from bpfas.loader.spec import Image

_ORDER_WORDS = {ByteOrder.LITTLE: "little-endian", ByteOrder.BIG: "big-endian"}


def load_image(image: Image, options: LoadOptions = NO_OPTIONS) -> Collection:
    """Create the maps of `image` and load its programs into the running kernel.

    Programs of sections marked with `?` are left out. Raises BpfasError for an image that no kernel of this
    machine could take, and for what this kernel lacks, before anything is done; VerifierError for a program that
    the verifier refuses; LoadError for everything else that the kernel refuses.
    """
    check_byte_order(image)
    with contextlib.ExitStack() as until_loaded:
        token_fd = open_token(options, until_loaded)
        kernel = until_loaded.enter_context(RunningKernel(token_fd))
        return load_plan(resolve(image, kernel, options), kernel, options, token_fd)


def check_byte_order(image: Image) -> None:
    """Raise BpfasError if `image` is not for machines of this byte order."""
    if image.byte_order is HOST_ORDER:
        return
    diagnostics = Diagnostics()
    given, host = _ORDER_WORDS[image.byte_order], _ORDER_WORDS[HOST_ORDER]
    diagnostics.error(
        f"the object is {given}, but this machine is {host}",
        image.name,
        (f"assemble or compile it for {host}, or load it on a {given} machine",),
    )
    diagnostics.raise_if_errors()


def load_plan(plan: Plan, kernel: Kernel, options: LoadOptions = NO_OPTIONS, token_fd: int = 0) -> Collection:
    """Do what `plan` says, by the right of the token `token_fd` if it is not 0.

    Raises LoadError; VerifierError for a program that the verifier refuses.
    """
    with (
        contextlib.ExitStack() as owner,
        contextlib.ExitStack() as undo,
        contextlib.ExitStack() as until_loaded,
    ):
        types = [each.spec.program_type for each in plan.programs.values()]
        session = Session(kernel, options, owner, undo, types, token_fd=token_fd)
        if plan.btf is not None:
            session.btf_fd = _load_btf(plan, session, until_loaded)
        # Maps first: the programs hold their descriptors.
        maps = create_maps(plan, session)
        # From here on the maps have their contents, and read-only ones can be relied on by the verifier.
        map_fds = {name: map_.fd for name, map_ in maps.items()}
        programs = {name: load_program(program, plan, map_fds, session) for name, program in plan.programs.items()}
        fill_program_slots(plan, maps, {name: program.fd for name, program in programs.items()}, session)
        _bind_read_only_data(plan, maps, programs)
        warnings = (*plan.warnings, *session.warnings.items)
        undo.pop_all()
        return Collection(plan, maps, programs, warnings, owner.pop_all())


def _load_btf(plan: Plan, session: Session, until_loaded: contextlib.ExitStack) -> int:
    assert plan.btf is not None
    is_required = any(each.struct_ops for each in plan.maps.values())
    fd = load_btf(plan.btf, f"BTF of {plan.image.name}", session, is_required=is_required)
    if fd:
        # Maps and programs hold it themselves.
        until_loaded.callback(os.close, fd)
    return fd


def _bind_read_only_data(plan: Plan, maps: Mapping[str, Map], programs: Mapping[str, Program]) -> None:
    """Keep constants for as long as the programs live, for those who look at programs to read them."""
    for name, each in plan.maps.items():
        if each.spec.section and each.spec.frozen:
            for program in programs.values():
                # Kernels before 5.10 have no such command, and nothing depends on it.
                with contextlib.suppress(OSError):
                    syscall.prog_bind_map(program.fd, maps[name].fd)
