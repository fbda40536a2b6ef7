"""Waiting until somebody asks the process to stop, by Ctrl-C or a signal, so that it ends in order."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Iterator[int]:
    """The end of a pipe that can be read once the process is asked to stop."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {each: signal.signal(each, lambda *_: None) for each in _STOPS}
    waker = signal.set_wakeup_fd(writing)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(waker)
        for each, handler in before.items():
            signal.signal(each, handler)
        os.close(reading)
        os.close(writing)
