"""Machine code as text, by GNU's objdump where the machine has it; else as bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_MACHINES = {
    "x86_64": "i386:x86-64",
    "aarch64": "aarch64",
    "riscv64": "riscv:rv64",
    "s390x": "s390:64-bit",
    "ppc64le": "powerpc:common64",
    "ppc64": "powerpc:common64",
    "loongarch64": "loongarch64",
}
"""What objdump calls machines."""
_LINE = re.compile(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]{2,8} )+)\s*(?:\t(.*))?$", re.MULTILINE)
_BYTES_A_LINE = 16


def disassembled(data: bytes, address: int, cuts: Collection[int] = ()) -> list[tuple[int, str]]:
    """The address and text of each instruction; or of bytes in hexadecimal, cut at the addresses `cuts`."""
    machine, objdump = _MACHINES.get(os.uname().machine), shutil.which("objdump")
    if machine and objdump:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            command = [objdump, "-D", "-w", "-b", "binary", "-m", machine, f"--adjust-vma={address:#x}", file.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = [(int(match[1], 16), (match[3] or "").strip()) for match in _LINE.finditer(done.stdout)]
        if not done.returncode and found:
            return found
    return _as_bytes(data, address, sorted({*cuts, address, address + len(data)}))


def _as_bytes(data: bytes, address: int, cuts: list[int]) -> list[tuple[int, str]]:
    lines = []
    for start, end in pairwise(cuts):
        for at in range(start, end, _BYTES_A_LINE):
            lines.append((at, data[at - address : min(at + _BYTES_A_LINE, end) - address].hex(" ")))
    return lines
