"""Files that commands keep from one run to the next in the user's cache directory, to start faster.

What is kept is data that can be made anew at any time: a file that cannot be read is taken for missing, and one
that cannot be written is done without. A directory of another user's is left alone, for who runs a tool as root
with a user's home must not believe what that user has written there.
"""

from __future__ import annotations

import contextlib
import os

from bpfas.files import replace_file


def cache_directory() -> str:
    """Where this user's cached files are: $XDG_CACHE_HOME/bpf-as, or ~/.cache/bpf-as."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "bpf-as")


def read_cached(name: str) -> bytes | None:
    """The contents of the cached file `name`; None if there is none that is this user's."""
    directory = cache_directory()
    with contextlib.suppress(OSError):
        if _is_own(directory):
            with open(os.path.join(directory, name), "rb") as file:
                return file.read()
    return None


def write_cached(name: str, contents: bytes) -> None:
    """Keep `contents` under `name`, if that is possible; another process sees all of it or nothing."""
    directory = cache_directory()
    with contextlib.suppress(OSError):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        if _is_own(directory):
            replace_file(os.path.join(directory, name), contents, 0o600)


def remove_old_cached(prefix: str, kept: int) -> None:
    """Remove cached files whose names begin with `prefix`, but for as many of the newest as are to be kept.

    A file that another process is reading stays its own, and one that another process removes first is no matter.
    """
    directory = cache_directory()
    with contextlib.suppress(OSError):
        if not _is_own(directory):
            return
        ages = []
        for name in os.listdir(directory):
            # Files that are being written have other names, until they are whole.
            if name.startswith(prefix):
                with contextlib.suppress(OSError):
                    ages.append((os.stat(os.path.join(directory, name)).st_mtime_ns, name))
        for _, name in sorted(ages)[: len(ages) - kept] if len(ages) > kept else ():
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))


def _is_own(directory: str) -> bool:
    return not hasattr(os, "geteuid") or os.stat(directory).st_uid == os.geteuid()  # Windows has no such numbers
