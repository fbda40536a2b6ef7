"""A kernel's version as one number: out of a release's text, and that of the running kernel.

Distributions that give their kernels numbers of their own say elsewhere which upstream version they are: Ubuntu in
/proc/version_signature, Debian in what `uname -v` prints. Source: libbpf 1.8.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_DEBIAN = re.compile(r"\bDebian (\d+\.\d+(?:\.\d+)?)")
_LARGEST_PATCH = 255


def kernel_version(major: int, minor: int, patch: int = 0) -> int:
    """KERNEL_VERSION of linux/version.h: a patch level beyond 255 counts as 255."""
    return major << 16 | minor << 8 | min(patch, _LARGEST_PATCH)


def parse_version(release: str) -> int:
    """The version that a release such as `6.1.0-13-amd64` begins with; 0 if it begins with none."""
    match = _NUMBERS.match(release)
    return kernel_version(*(int(number or 0) for number in match.groups())) if match else 0


def version_text(version: int) -> str:
    """`6.1.112`."""
    return f"{version >> 16}.{version >> 8 & 0xFF}.{version & 0xFF}"


def release_text(version: int) -> str:
    """`6.1`, for what came with a release."""
    return f"{version >> 16}.{version >> 8 & 0xFF}"


def discover_version(release: str, version: str, signature: str) -> int:
    """The upstream version of a kernel by what it says of itself.

    `release` and `version` are what `uname -r` and `uname -v` print, `signature` is the text of
    /proc/version_signature, empty where there is none: `Ubuntu 5.4.0-12.15-generic 5.4.8`.
    """
    words = signature.split()
    if len(words) >= 3 and words[0] == "Ubuntu" and (found := parse_version(words[2])):
        return found
    debian = _DEBIAN.search(version)
    return parse_version(debian[1]) if debian else parse_version(release)


@functools.cache
def running_version() -> int:
    """The version of the running kernel; 0 if it cannot be made out."""
    uname = os.uname()
    try:
        signature = Path("/proc/version_signature").read_text()
    except (OSError, UnicodeDecodeError):
        signature = ""
    return discover_version(uname.release, uname.version, signature)
