"""The text of the running kernel's configuration: /boot/config-RELEASE, else /proc/config.gz.

Either may be compressed by gzip. Source: libbpf 1.8.
"""

from __future__ import annotations

import functools
import gzip
import os
import re
import zlib
from pathlib import Path

_GZIP_MAGIC = b"\x1f\x8b"
_TITLE = re.compile(r"^# Linux/\S+ (\S+) Kernel Configuration$", re.MULTILINE)


def decoded_config(data: bytes) -> str:
    """The text in the bytes of a configuration file. Raises OSError for damaged gzip data."""
    if data.startswith(_GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error) as error:
            raise gzip.BadGzipFile(str(error)) from error
    return data.decode(errors="replace")


def config_places(release: str) -> tuple[Path, Path]:
    """Where a running kernel's configuration is looked for, in order."""
    return Path(f"/boot/config-{release}"), Path("/proc/config.gz")


@functools.cache
def running_config() -> tuple[str, str] | None:
    """The text and the file it is from; None where no file can be read."""
    for path in config_places(os.uname().release):
        try:
            return decoded_config(path.read_bytes()), str(path)
        except OSError:
            continue
    return None


def why_unset(name: str) -> str:
    """`CONFIG_… is not set (FILE)` if the running kernel's configuration says that, else empty."""
    config = running_config()
    return f"{name} is not set ({config[1]})" if config is not None and option(config[0], name) is None else ""


def release_in(text: str) -> str:
    """The release that the title of a configuration names; empty if there is no title."""
    title = _TITLE.search(text)
    return title[1] if title else ""


def option(text: str, name: str) -> str | None:
    """What a configuration says of an option (`y`, `m`, a number, text in quotes); None where it is not set."""
    match = re.search(rf"^{re.escape(name)}=(.*)$", text, re.MULTILINE)
    return match[1] if match else None
