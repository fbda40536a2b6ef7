"""What attaching asks of programs and of maps, whoever has them.

Any object with these will do, whoever has loaded or opened it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bpfas.loader.spec import ProgramSpec


class HasDescriptor(Protocol):
    """A loaded program, or a map of struct_ops."""

    @property
    def name(self) -> str:
        """Its whole name, for messages."""
        ...

    @property
    def fd(self) -> int:
        """Its descriptor."""
        ...


class Attachable(HasDescriptor, Protocol):
    """A loaded program, with what it was loaded from."""

    @property
    def spec(self) -> ProgramSpec:
        """What it was loaded from."""
        ...


class AttachableMap(HasDescriptor, Protocol):
    """A map that programs are attached to."""

    @property
    def type(self) -> int:
        """Its MapType."""
        ...

    @property
    def value_size(self) -> int:
        """Bytes of a value."""
        ...
