"""What Map and Program have in common: they own a descriptor, and may have names in a BPF file system.

The descriptor may be a new object's, or that of one which is in the kernel already: pinned, or by its id.
"""

from __future__ import annotations

import abc
import os
from typing import TYPE_CHECKING, ClassVar, Self

from bpfas.loader.errors import KernelError, Step, kernel_error
from bpfas.loader.runtime.opening import open_by_id, open_pinned
from bpfas.loader.runtime.pinning import pin, unpin

if TYPE_CHECKING:
    from bpfas.loader.runtime.opening import ObjectKind


class OwnedObject(abc.ABC):
    """An object in the kernel by its descriptor; a context manager, which closes that.

    What the kernel refuses is a KernelError.
    """

    kind: ClassVar[ObjectKind]
    """What the class is of."""

    name: str
    _fd = -1

    @classmethod
    @abc.abstractmethod
    def from_fd(cls, fd: int) -> Self:
        """The object of a descriptor, which becomes the object's (it is closed also on failure)."""

    @classmethod
    def from_pin(cls, path: str | os.PathLike[str]) -> Self:
        """What is pinned at `path`. Raises KernelError."""
        return cls.from_fd(open_pinned(path, cls.kind))

    @classmethod
    def from_id(cls, object_id: int) -> Self:
        """What the kernel lists by this number. Raises KernelError."""
        return cls.from_fd(open_by_id(object_id, cls.kind))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fd(self) -> int:
        """The descriptor, -1 once it is closed."""
        return self._fd

    @abc.abstractmethod
    def close(self) -> None:
        """Close the descriptor; the kernel drops the object when nothing else refers to it."""

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give the object a name in a BPF file system, which keeps it.

        The directory is made if only the last part of its path is missing. Raises KernelError.
        """
        pin(os.fspath(path), self._fd, f"{self.kind.word} {self.name}")

    def unpin(self, path: str | os.PathLike[str]) -> None:
        """Take away a name of the object. Raises KernelError."""
        unpin(os.fspath(path), f"{self.kind.word} {self.name}")


def no_information(fd: int, error: OSError) -> KernelError:
    """The error for a descriptor of which the kernel does not say what it is; closes it."""
    os.close(fd)
    return kernel_error(Step.GET_INFO, f"descriptor {fd}", error)
