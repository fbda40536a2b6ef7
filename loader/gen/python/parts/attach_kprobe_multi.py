"""Programs at many functions of the kernel."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import AttachError, address_of, read_text
from bpfas.loader.gen.python.parts.links import link_create
from bpfas.loader.gen.python.parts.programs import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.gen.python.parts.links import Link

MULTI_HINTS = {
    errno.EOPNOTSUPP: "this kernel has no multi kprobes (CONFIG_FPROBE)",
    errno.EINVAL: "this kernel has no multi kprobes (Linux 5.18, CONFIG_FPROBE), or cannot trace one of these",
    errno.ESRCH: "one of these is no function that the kernel can trace",
}


class KprobeMultiProgram(Program):
    """A program of section kprobe.multi, kretprobe.multi or kprobe.session."""

    @property
    def attaches_by_section(self) -> bool:  # type: ignore[override]
        """Whether the section says which functions."""
        return bool(self.target)

    def attach(self, pattern: str = "", functions: Sequence[str] = (), cookies: Sequence[int] = ()) -> Link:
        """Attach it to the functions that match a pattern (with * and ?), or to those that are given.

        By default to what the section says. Raises AttachError.
        """
        words = f"{self.name} to {pattern or self.target or 'functions'}"
        names = list(functions) or self._matching(pattern or self.target, words)
        if not names:
            raise AttachError(f"attach {words}", errno.ENOENT, "no function that the kernel can trace matches")
        if cookies and len(cookies) != len(names):
            raise ValueError(f"there are {len(cookies)} cookies for {len(names)} functions")
        texts = [name.encode() + b"\0" for name in names]
        pointers = struct.pack(f"={len(texts)}Q", *map(address_of, texts))
        values = struct.pack(f"={len(cookies)}Q", *cookies)
        flags = 1 if self.section.startswith("kret") else 0
        options = struct.pack("=IIQQQ", flags, len(texts), address_of(pointers), 0, address_of(values))
        return self.attached(link_create(words, self.descriptor(), 0, self.attach_type, 0, options, MULTI_HINTS))

    def _matching(self, pattern: str, words: str) -> list[str]:
        if not set(pattern) & set("*?"):
            return [pattern] if pattern else []
        import fnmatch

        for directory in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
            try:
                text = read_text(f"{directory}/available_filter_functions")
            except OSError:
                continue
            counts: dict[str, int] = {}
            for line in text.splitlines():
                name = line.split()[0]
                counts[name] = counts.get(name, 0) + 1
            # The kernel does not choose between functions of one name.
            return sorted(fnmatch.filter((name for name, count in counts.items() if count == 1), pattern))
        raise AttachError(
            f"attach {words}", errno.ENOENT, "the tracing files, which list the functions, are not mounted"
        )
