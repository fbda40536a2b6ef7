"""What is loaded: maps and programs by name, global variables, links, and their descriptors."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from bpfas.loader.loading.named import named_maps, named_programs
from bpfas.loader.loading.pins import path_in
from bpfas.loader.runtime.pinning import pin, unpin
from bpfas.loader.runtime.variables import Variables

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from bpfas.diag import Diagnostic
    from bpfas.loader.attach.link import Link
    from bpfas.loader.loading.plan import Plan
    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.runtime.programs import Program


class Collection:
    """Loaded maps and programs by name, the variables of global data, and all their descriptors.

    A context manager; leaving it, or `close()`, ends what `attach()` has attached and closes all descriptors, in
    the order opposite to loading. `warnings` tell of what the kernel did not take and loading went on without.
    """

    def __init__(
        self,
        plan: Plan,
        maps: dict[str, Map],
        programs: dict[str, Program],
        warnings: Sequence[Diagnostic],
        owner: contextlib.ExitStack,
    ) -> None:
        self.name = plan.image.name
        self.plan = plan
        self.maps: Mapping[str, Map] = named_maps(maps)
        self.programs: Mapping[str, Program] = named_programs(programs)
        self.warnings = tuple(warnings)
        self.data = Variables(maps, plan.image.types)
        self.links: dict[str, Link] = {}
        self._owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Collection {self.name!r}: {len(self.maps)} maps, {len(self.programs)} programs>"

    def attach(self) -> dict[str, Link]:
        """Attach all programs whose sections say to what, and all struct_ops; the links, by the names of these.

        Programs that say nothing of it are left alone, as are those that are attached already. The collection ends
        the links when it is closed. If one program cannot be attached, none of those attached here stays so.
        Raises AttachError.
        """
        from bpfas.loader.attach.table import attach, attaches_by_section  # what many do not use

        new: dict[str, Link] = {}
        with contextlib.ExitStack() as undo:
            for name, program in self.programs.items():
                if name not in self.links and attaches_by_section(program.spec):
                    new[name] = undo.enter_context(attach(program))
            for name in self.maps:
                if self.plan.maps[name].struct_ops and name not in self.links:
                    new[name] = undo.enter_context(self.attach_struct_ops(name))
            undo.pop_all()
        self.links |= new
        return new

    def attach_struct_ops(self, name: str) -> Link:
        """Register the struct of operations called `name` with the kernel. Raises AttachError."""
        from bpfas.loader.attach.struct_ops import attach_struct_ops

        map_ = self.maps[name]
        plan = self.plan.maps[map_.name]
        if plan.struct_ops is None or plan.spec.struct_ops is None:
            raise ValueError(f"map {name} is not of struct_ops")
        value = plan.struct_ops.with_programs({name: program.fd for name, program in self.programs.items()})
        return attach_struct_ops(map_, value, is_link=plan.spec.struct_ops.is_link)

    def detach(self) -> None:
        """End what `attach` has attached. Raises AttachError for the last that fails, after all are tried."""
        self._end_links(detach=True)

    def pin(self, directory: str | os.PathLike[str]) -> None:
        """Pin all maps and programs in a directory of a BPF file system, by their names; all or none of them.

        The directory is made if only the last part of its path is missing. Dots in names become `_`, as the file
        system wants. Raises KernelError.
        """
        with contextlib.ExitStack() as undo:
            for path, subject, fd in self._pins(directory):
                pin(path, fd, subject)
                undo.callback(unpin, path, subject)
            undo.pop_all()

    def unpin(self, directory: str | os.PathLike[str]) -> None:
        """Undo `pin`. Raises KernelError."""
        for path, subject, _ in self._pins(directory):
            unpin(path, subject)

    def close(self, *, detach: bool = True) -> None:
        """Close all descriptors; a second time it does nothing.

        With `detach=False` what is attached stays so, as far as the kernel can keep it (see `Link.disconnect`).
        """
        try:
            self._end_links(detach=detach)
        finally:
            self._owner.close()

    def _end_links(self, *, detach: bool) -> None:
        with contextlib.ExitStack() as stack:
            for link in self.links.values():
                stack.callback(link.close, detach=detach)
            self.links.clear()

    def _pins(self, directory: str | os.PathLike[str]) -> Iterator[tuple[str, str, int]]:
        """The paths, what is pinned there in words, and the descriptors."""
        for kind, objects in (("map", self.maps), ("program", self.programs)):
            for name, each in objects.items():
                yield path_in(directory, name), f"{kind} {name}", each.fd
