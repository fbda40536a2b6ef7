"""The kernel's tracing files: where they are, what they list, and writing to them.

Source: the kernel's document ftrace.rst.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_MOUNTS = Path("/proc/self/mounts")
_USUAL_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_OCTAL_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))

NOT_MOUNTED = "mount it: mount -t tracefs tracefs /sys/kernel/tracing"
"""What to do where `tracing_directory` finds nothing."""


def tracing_directory() -> Path | None:
    """Where the tracing files are; None where the file system with them is not mounted, or not readable."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        lines = []
    entries = [line.split(" ") for line in lines]
    places = [*_USUAL_PLACES]
    for _, place, kind, *_ in entries:
        path = Path(_unescape(place))
        if kind == "tracefs":
            places.append(path)
        elif kind == "debugfs":
            places.append(path / "tracing")
    return next((place for place in places if os.access(place / "events", os.R_OK)), None)


def _unescape(text: str) -> str:
    for escape, char in _OCTAL_ESCAPES:
        text = text.replace(escape, char)
    return text


def tracepoint_id(tracing: Path, category: str, name: str) -> int | None:
    """The number by which perf_event_open(2) takes a tracepoint; None where there is none of this name."""
    try:
        return int((tracing / "events" / category / name / "id").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None


def tracepoints(tracing: Path) -> list[str]:
    """All tracepoints, as `category/name`."""
    try:
        text = (tracing / "available_events").read_text()
    except OSError:
        return []
    return [line.replace(":", "/", 1) for line in text.splitlines()]


class TracedFunction(NamedTuple):
    """A function that the kernel can trace; the address is 0 where it does not say, the module `` for vmlinux."""

    name: str
    module: str
    address: int


def traced_functions(tracing: Path) -> list[TracedFunction]:
    """The functions that fprobes (multi kprobes) can be at; with addresses since Linux 6.5. Raises OSError."""
    try:
        text = (tracing / "available_filter_functions_addrs").read_text()
    except FileNotFoundError:
        text = (tracing / "available_filter_functions").read_text()
        rows = [line.split() for line in text.splitlines()]
        return [TracedFunction(row[0], _module(row[1:]), 0) for row in rows if row]
    rows = [line.split() for line in text.splitlines()]
    return [TracedFunction(row[1], _module(row[2:]), int(row[0], 16)) for row in rows if len(row) > 1]


def _module(rest: list[str]) -> str:
    return rest[0].strip("[]") if rest and rest[0].startswith("[") else ""


def append(path: Path, line: str) -> None:
    """Give the kernel a line. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)
