"""Programs that this module does not attach by itself."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import AttachError
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.links import Link


class OtherProgram(Program):
    """A program that is pinned, or given by its descriptor, to what attaches it; `remedy` says to what."""

    remedy = ""  # what does
    is_attachable = True  # and not only run

    def attach(self) -> Link:
        """Say what attaches it. Raises AttachError, always."""
        raise AttachError(f"attach {self.name}", errno.EOPNOTSUPP, f"this module does not do that: {self.remedy}")


def other_program(
    name: str, entry: int, section: str, remedy: str, is_loaded: bool = True, is_attachable: bool = True
) -> OtherProgram:
    """A program with what else to do."""
    program = OtherProgram(name, entry, section, is_loaded=is_loaded)
    program.remedy = remedy
    program.is_attachable = is_attachable
    return program
