"""What can be asked for when an Image is loaded, besides what the Image itself says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.kinds import AttachType, ProgramType

if TYPE_CHECKING:
    from bpfas.loader.spec import ProgramSpec

ProgramReference = int | str | os.PathLike[str]
"""A program in the kernel: its id, or the path that it is pinned at."""

BPF_FILE_SYSTEM = Path("/sys/fs/bpf")
TOKEN_VARIABLE = "LIBBPF_BPF_TOKEN_PATH"  # noqa: S105
"""The environment's variable for `token`, of the name that users of libbpf know."""

_OF_FUNCTIONS = frozenset({AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT, AttachType.TRACE_FSESSION})


class LoadOptions(NamedTuple):
    """Options of loading.

    `target` is the program whose functions `freplace` programs replace, or `fentry` and `fexit` programs follow,
    or one for each program by name. `kconfig` is text in the form of a kernel's .config that counts before the
    kernel's own. Maps pinned by name are below `pin_root`. `token` is a directory of the BPF file system that
    delegates rights; None for what the environment says, else /sys/fs/bpf if that delegates any; empty for none.
    With a `log_level` of 1, 2 or 4 (to be added) the verifier's log is kept of programs that it takes, too. `btf`
    is a file with the types of this kernel, which CO-RE relocations are then resolved by, for kernels that have
    none of their own.
    """

    target: ProgramReference | Mapping[str, ProgramReference] | None = None
    kconfig: str = ""
    pin_root: str | os.PathLike[str] = BPF_FILE_SYSTEM
    token: str | os.PathLike[str] | None = None
    log_level: int = 0
    btf: str | os.PathLike[str] | None = None

    def target_of(self, program: ProgramSpec) -> ProgramReference | None:
        """The program whose function `program` replaces or follows; None for one that it is not asked for."""
        if isinstance(self.target, Mapping):
            return self.target.get(program.name)
        is_of_program = program.program_type == ProgramType.EXT or (
            program.program_type == ProgramType.TRACING and program.expected_attach_type in _OF_FUNCTIONS
        )
        return self.target if is_of_program else None

    @property
    def token_path(self) -> str:
        """Where a token is to be had; empty for nowhere."""
        if self.token is None:
            return os.environ.get(TOKEN_VARIABLE, os.fspath(BPF_FILE_SYSTEM))
        return os.fspath(self.token)

    @property
    def is_token_required(self) -> bool:
        """Whether loading fails where there is no token to be had."""
        return self.token is not None or TOKEN_VARIABLE in os.environ


NO_OPTIONS = LoadOptions()
