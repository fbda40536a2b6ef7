"""What can be asked for when a loader program is made, besides what the Image itself says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bpfas.loader.gen.loader_program import Scheme
    from bpfas.loader.kernel.kernel import KernelBtf


class GenOptions(NamedTuple):
    """Options of generating.

    `kconfig` is text in the form of a kernel's .config: if it says all that the object asks for, the values are
    fixed; else they are the running kernel's, and what the text says counts before that. `types` are a kernel's,
    by which the layout of struct_ops is fixed; None to have it found out where the program runs. With `token` the
    program works by the right of a BPF token that it is given. With `debug` it writes what it does to the kernel's
    trace buffer. A program that is to be signed by a `scheme` does not let its context change what is signed.
    `name` is what Python modules and C headers call it, empty for the object's name up to the first dot.
    """

    kconfig: str = ""
    types: KernelBtf | None = None
    token: bool = False
    debug: bool = False
    scheme: Scheme | None = None
    name: str = ""


NO_GEN_OPTIONS = GenOptions()
