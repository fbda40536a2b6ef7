"""C headers read files whole, packed or not, and refuse what is damaged."""

from __future__ import annotations

import gzip
import subprocess
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.gen.c.files import READ_FILE, READ_PACKED_FILE
from tests.object_cache import compiled
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.peer

PROGRAM = f"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
{READ_FILE}{READ_PACKED_FILE}
int main(int argc, char **argv) {{
    struct bpfas_skel_bytes bytes;
    if (argc != 2 || bpfas_skel_read_packed_file(argv[1], &bytes)) return 3;
    if (bytes.size) fwrite(bytes.data, 1, bytes.size, stdout);
    free(bytes.data);
    return 0;
}}
"""
REFUSED = (3, b"")
TEXT = b"".join(b"CONFIG_%d=%d\n" % (number, number * number) for number in range(4000))
PACKED = gzip.compress(TEXT, mtime=0)


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """The program, which stops at any access outside of its memory, and where memory is lost."""
    options = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-fsanitize=address")
    made = compiled(Peer.HOST_GCC, PROGRAM, *options, name="read")
    Peer.HOST_GCC.run("-fsanitize=address", made, "-o", tmp_path / "read", "-lz")
    return tmp_path / "read"


def what_is_read(reader: Path, path: Path) -> tuple[int, bytes]:
    """The exit status of the program for a file, and what it gives."""
    done = subprocess.run([reader, path], capture_output=True, check=False)
    assert done.stderr == b""
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("data", "expected"),
    [(PACKED, TEXT), (TEXT, TEXT), (b"", b""), (gzip.compress(b""), b"")],
    ids=["packed", "plain", "empty", "nothing packed"],
)
def test_file(reader: Path, tmp_path: Path, data: bytes, expected: bytes) -> None:
    (tmp_path / "data").write_bytes(data)
    assert what_is_read(reader, tmp_path / "data") == (0, expected)


@pytest.mark.parametrize(
    "data",
    [PACKED[:-1], PACKED[: len(PACKED) // 2], PACKED[:-6] + bytes(6), PACKED[:40] + b"?" + PACKED[41:]],
    ids=["cut off at the end", "cut off", "wrong checksum", "changed"],
)
def test_damaged_file(reader: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data").write_bytes(data)
    assert what_is_read(reader, tmp_path / "data") == REFUSED


def test_file_that_cannot_be_read(reader: Path, tmp_path: Path) -> None:
    assert what_is_read(reader, tmp_path / "none") == REFUSED
    assert what_is_read(reader, tmp_path) == REFUSED
