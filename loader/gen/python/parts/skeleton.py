"""The object as a whole: maps, programs and data, loaded and attached and closed together."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError, LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeVar

    from bpfas.loader.gen.python.parts.loader import Loader

    Member = TypeVar("Member")


class Group:
    """Maps or programs, by attributes, or by their names in brackets; loops give them in the object's order.

    A character that Python does not take in names is `_` in the attribute, two `_` in front are one, a name that
    Python or this class needs has `_` behind it, and one that another has already a number.
    """

    def __init__(self) -> None:
        self._members: dict[str, Any] = {}

    def add(self, member: Member) -> Member:
        """Have one more."""
        self._members[member.name] = member  # type: ignore[attr-defined]
        return member

    def __getitem__(self, name: str) -> Any:
        if name not in self._members:
            raise KeyError(f"there is no {name}, only {', '.join(self._members) or 'nothing'}")
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[Any]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<{', '.join(self._members) or 'nothing'}>"


class Skeleton:
    """An object that is loaded by its loader program; a context manager that closes it.

    Values, sizes and the like are set before load(). close() ends what is attached and closes all descriptors;
    what is pinned stays. `log` is what the kernel has said where load() was asked for it.
    """

    def __init__(self, loader: Loader) -> None:
        self.name = loader.name
        self.log = ""
        self.is_loaded = False
        self._is_closed = False
        self.loader = loader
        self.maps: Any = ()
        self.progs: Any = ()
        self.sections: dict[str, Any] = {}  # of global variables
        self._parts: list[Any] = []  # what takes part in loading, in order

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "loaded" if self.is_loaded else "not loaded"
        return f"<{type(self).__name__}, {state}>"

    def load(self, log_level: int = 0) -> Any:
        """Load the object, and give it back. Raises LoadError, and then nothing of it stays in the kernel.

        With a `log_level` (1, or 2 for more, 4 for figures) `log` is what the kernel says.
        """
        if self._is_closed or self.is_loaded:
            raise LoadError(
                f"load {self.name}", errno.EALREADY, "it is closed" if self._is_closed else "it is loaded"
            )
        context = bytearray(self.loader.context_size)
        try:
            for part in self._parts:
                part.prepare(context)
            self.log = self.loader.run(context, log_level)
            self._is_closed = True  # unless all of the rest succeeds, which nothing but closing can undo
            for part in self._parts:
                part.take(context)
            for part in self._parts:
                part.finish()
        except BaseException as error:
            for part in reversed(self._parts):
                if hasattr(part, "undo"):
                    part.undo()
                part.close()
            if isinstance(error, OSError) and not isinstance(error, BpfError):
                raise LoadError(f"load {self.name}", error.errno or 0, error.strerror or str(error)) from None
            raise
        self._is_closed, self.is_loaded = False, True
        return self

    def attach(self) -> None:
        """Attach what says by itself to what; if something cannot be, nothing of it stays so.

        Raises AttachError.
        """
        new = []
        try:
            for each in (*self.progs, *self.maps):
                is_wanted = each.fd >= 0 and getattr(each, "attaches_by_section", False)
                if is_wanted and not any(link.is_open for link in each.links):
                    new.append(each.attach())
        except BaseException:
            for link in reversed(new):
                link.close()
            raise

    def detach(self) -> None:
        """End what is attached. Raises AttachError."""
        for each in (*self.progs, *self.maps):
            if hasattr(each, "detach"):
                each.detach()

    def pin(self, directory: str) -> None:
        """Keep all maps and programs under their names in a directory of a BPF file system; all or none of them.

        The directory is made if it is not there; dots in names become `_`. Raises BpfError.
        """
        made: list[str] = []
        is_new = not os.path.isdir(directory)
        try:
            os.makedirs(directory, exist_ok=True)
            for each in (*self.maps, *self.progs):
                if each.fd >= 0:
                    path = os.path.join(directory, each.name.replace(".", "_").replace("/", "_"))
                    each.pin(path)
                    made.append(path)
        except BaseException as error:
            for path in made:
                os.unlink(path)
            if is_new and os.path.isdir(directory):
                os.rmdir(directory)
            if isinstance(error, OSError) and not isinstance(error, BpfError):
                raise BpfError(f"pin {self.name} in {directory}", error.errno or 0) from None
            raise

    def close(self) -> None:
        """End what is attached, close all descriptors; a second time it does nothing."""
        self._is_closed = True
        self.is_loaded = False
        try:
            self.detach()
        finally:
            for part in reversed(self._parts):
                part.close()
