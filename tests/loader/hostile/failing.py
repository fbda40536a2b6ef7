"""System calls of which the one of a given number fails, in whichever module it is made."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import socket
from typing import TYPE_CHECKING, Any
from unittest import mock

from bpfas.loader.runtime import memory
from bpfas.loader.syscall import bpf, perf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SYSCALL = "_libc_syscall"
_CALLS: tuple[tuple[Any, str], ...] = (
    (os, "open"),
    (os, "dup"),
    (os, "mkdir"),
    (mmap, "mmap"),
    (memory, "_map_at"),
    (select, "epoll"),
    (fcntl, "ioctl"),
    (socket.socket, "__init__"),
    (socket.socket, "bind"),
    (socket.socket, "setsockopt"),
    (socket.socket, "sendmsg"),
    (socket.socket, "send"),
    (socket.socket, "recv"),
)
_BY_NAME = ("bpfas.loader.attach.perf_event", "bpfas.loader.runtime.perf_buffer")
"""Modules that have `perf_event_open` under their own name."""


class Failure:
    """Which call fails, and how: `number` counts from 0. `has_happened` says whether there was that call."""

    def __init__(self, number: int, errno: int) -> None:
        self.errno = errno
        self.has_happened = False
        self._calls_before = number

    def is_now(self) -> bool:
        """Count a call; whether it is the one that fails."""
        now = self._calls_before == 0
        self._calls_before -= 1
        self.has_happened |= now
        return now

    def end(self) -> None:
        """Let no call fail any more."""
        self._calls_before = -1

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call that fails by an exception when it is its turn."""

        def made(*arguments: Any, **keywords: Any) -> Any:
            if self.is_now():
                raise OSError(self.errno, os.strerror(self.errno))
            return call(*arguments, **keywords)

        return made

    def wrap_bpf(self, call: Callable[..., int]) -> Callable[..., int]:
        """The same for bpf(2) itself, which gives -1."""

        def made(*arguments: Any) -> int:
            if self.is_now():
                ctypes.set_errno(self.errno)
                return -1
            return call(*arguments)

        return made


@contextlib.contextmanager
def failing(number: int, errno: int) -> Iterator[Failure]:
    """Let the call of this number fail with `errno`; those before and behind it are made."""
    failure = Failure(number, errno)
    with contextlib.ExitStack() as patches:
        original = bpf._libc_syscall()
        replaced = failure.wrap_bpf(original)
        patches.enter_context(mock.patch.object(bpf, _SYSCALL, return_value=replaced))
        for owner, name in _CALLS:
            if hasattr(owner, name):
                patches.enter_context(mock.patch.object(owner, name, failure.wrap(getattr(owner, name))))
        event_open = failure.wrap(perf.perf_event_open)
        for module in _BY_NAME:
            patches.enter_context(mock.patch(f"{module}.perf_event_open", event_open))
        try:
            yield failure
        finally:
            failure.end()  # for those who have kept such a call
