"""The reader of gzip files in C headers gives what was packed, and refuses what is damaged."""

from __future__ import annotations

import gzip
import random
import subprocess
import zlib
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.gen.c.gzip import READ_FILE, READ_PACKED_FILE
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
{READ_FILE}{READ_PACKED_FILE}
int main(int argc, char **argv) {{
    struct bpfas_skel_bytes bytes;
    if (argc != 2 || bpfas_skel_read_packed_file(argv[1], &bytes)) return 3;
    if (bytes.size) fwrite(bytes.data, 1, bytes.size, stdout);
    free(bytes.data);
    return 0;
}}
"""
REFUSED = 3
TEXT = b"".join(b"CONFIG_%d=%d\n" % (number, number * number) for number in range(4000))
NOISE = random.Random(1).randbytes(70000)  # noqa: S311


@pytest.fixture
def unpacker(tmp_path: Path) -> Path:
    """The program, which stops at any access outside of its memory."""
    options = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined")
    made = compiled(Peer.HOST_GCC, PROGRAM, *options, name="unpack")
    Peer.HOST_GCC.run("-fsanitize=address,undefined", made, "-o", tmp_path / "unpack")
    return tmp_path / "unpack"


def unpacked(unpacker: Path, data: bytes) -> tuple[int, bytes]:
    """The exit status of the program for a file of this data, and what it gives."""
    path = unpacker.parent / "data"
    path.write_bytes(data)
    done = subprocess.run([unpacker, path], capture_output=True, check=False)
    assert done.stderr == b""
    return done.returncode, done.stdout


def packed(data: bytes, level: int, strategy: int) -> bytes:
    """A gzip file, by zlib."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31, 9, strategy)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    "data", [b"", b"a", b"a" * 100000, TEXT, NOISE], ids=["empty", "one", "run", "text", "noise"]
)
def test_what_was_packed(unpacker: Path, data: bytes) -> None:
    for level in (0, 1, 6, 9):
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE):
            assert unpacked(unpacker, packed(data, level, strategy)) == (0, data), (level, strategy)


def test_file_that_is_not_packed(unpacker: Path) -> None:
    assert unpacked(unpacker, TEXT) == (0, TEXT)


def test_header_with_a_name(unpacker: Path, tmp_path: Path) -> None:
    with gzip.GzipFile(str(tmp_path / "named"), "wb", mtime=0) as file:
        file.write(TEXT)
    assert unpacked(unpacker, (tmp_path / "named").read_bytes()) == (0, TEXT)


def test_damaged_files(unpacker: Path) -> None:
    """No file makes it read or write where it must not; one that ends too early is refused."""
    whole = packed(TEXT, 6, zlib.Z_DEFAULT_STRATEGY)
    for size in (18, 19, 100, len(whole) // 2, len(whole) - 9):
        assert unpacked(unpacker, whole[:size])[0] == REFUSED, size
    source = random.Random(2)  # noqa: S311
    for _ in range(40):
        changed = bytearray(whole[:3000])
        for _ in range(4):
            changed[source.randrange(2, len(changed))] = source.randrange(256)
        status, _ = unpacked(unpacker, bytes(changed))
        assert status in (0, REFUSED)
