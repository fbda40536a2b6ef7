"""What resolving an Image asks of a kernel.

Two kinds of kernels answer: the running one (`bpfas.loader.kernel.running`), and one that files describe, for dry
runs (`bpfas.loader.kernel.described`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.kinds import Kind
    from bpfas.loader.kernel.features import Feature


class KernelBtf(Protocol):
    """The types of vmlinux, or of vmlinux and a module behind them, found by name."""

    name: str
    """`vmlinux` or the module's."""

    btf: Btf
    """All types; a module's own come behind those of vmlinux."""

    first_own_id: int
    """The first type that is the module's own; 1 for vmlinux."""

    def ids_named(self, name: str) -> Sequence[int]:
        """The ids of own types called `name`, of whatever kind, ascending."""
        ...

    def ids_with_stem(self, stem: str) -> Sequence[int]:
        """The ids of own types, but for functions and variables, whose name without a `___flavour` is `stem`."""
        ...

    def names(self, *kinds: Kind) -> Sequence[str]:
        """The names of all own types of these kinds, for saying which are near to one that is missing."""
        ...


class KernelType(NamedTuple):
    """A type of a kernel: the BTF that has it, and its id there."""

    owner: KernelBtf
    type_id: int


class TypedKernel(Protocol):
    """A kernel, as far as its types go."""

    @property
    def name(self) -> str:
        """How messages call it: `the running kernel (6.18.44)`, or the file's path."""
        ...

    @property
    def types(self) -> KernelBtf | None:
        """The types of vmlinux; None for a kernel without BTF."""
        ...

    def modules(self) -> Sequence[KernelBtf]:
        """The types of each module that has any; read when first asked for."""
        ...


class Kernel(TypedKernel, Protocol):
    """A kernel, as far as an Image depends on it. What a kernel does not say of itself is empty or None."""

    is_running: bool
    """Whether descriptors (of modules' BTF) can be asked for."""

    page_size: int
    possible_cpus: int

    @property
    def version(self) -> int:
        """KERNEL_VERSION(major, minor, patch); 0 where it is not known."""
        ...

    @property
    def release(self) -> str:
        """As `uname -r` has it."""
        ...

    def btf_fd(self, owner: KernelBtf) -> int:
        """A descriptor of a module's BTF, which stays the kernel object's; 0 for vmlinux and where not running."""
        ...

    def config(self) -> tuple[str, str] | None:
        """The text of the kernel's configuration, and where it is from; None where there is none."""
        ...

    def addresses(self, names: Collection[str]) -> Mapping[str, set[int]]:
        """The addresses of symbols in kallsyms."""
        ...

    def has(self, feature: Feature) -> bool:
        """Whether the kernel has a feature; found out once."""
        ...
