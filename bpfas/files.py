"""Files that other processes may read at any time: written whole or not at all.

Only the standard library's smallest modules are imported here, for every run of a command needs this one.
"""

from __future__ import annotations

import contextlib
import os


def replace_file(path: str, contents: bytes, mode: int) -> None:
    """Let `contents` be all that the file at `path` holds, with these permissions.

    The bytes go to a file with another name beside it, which then takes its place. Raises OSError.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.urandom(8).hex()}")
    try:
        # What nobody else may read is not readable under its first name either.
        with open(temporary, "xb", opener=_open_for_owner) as file:
            file.write(contents)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
