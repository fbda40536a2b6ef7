"""Programs at functions of executables and libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.attach_events import EventProgram, link_to_event, probe_event, split_place
from bpfas.loader.gen.python.parts.executables import find_executable, function_offset

if TYPE_CHECKING:
    from bpfas.loader.gen.python.parts.links import Link


class UprobeProgram(EventProgram):
    """A program of section uprobe or uretprobe."""

    def attach(
        self,
        path: str = "",
        function: str = "",
        offset: int = 0,
        retprobe: bool | None = None,
        pid: int = -1,
        cookie: int = 0,
    ) -> Link:
        """Attach it to a function of a file, `offset` bytes behind its start (default: as the section says).

        Without a `function`, `offset` counts from the file's start. A path without `/` is looked for where
        executables and libraries are. With `pid` it is for one process; `retprobe` as for kprobes. Raises
        AttachError.
        """
        if not path:
            path, _, place = self.place("", "PATH', 'FUNCTION").rpartition(":")
            function, offset = split_place(place)
            if function[:1].isdigit():
                function, offset = "", int(function, 0)
        returns = self.section.startswith("uret") if retprobe is None else retprobe
        path = find_executable(path)
        start = function_offset(path, function) if function else 0
        words = f"{self.name} to {'uretprobe' if returns else 'uprobe'} {path}:{function or hex(offset)}"
        event = probe_event(words, "uprobe", path, start + offset, returns)
        return link_to_event(self, words, event, pid, 0 if pid == -1 else -1, cookie)
