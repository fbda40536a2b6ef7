"""What the loader's tests share: C made into objects."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.loader.network import Namespace
from tests.object_cache import compiled
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

C_PRELUDE = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct map_definition { unsigned type, key_size, value_size, max_entries, map_flags; };
char license_text[] SEC("license") = "GPL";
"""


@pytest.fixture
def compile_c(tmp_path: Path) -> Callable[..., str]:
    """A function that compiles C (behind C_PRELUDE) for BPF and gives the object's path."""

    def compile_source(source: str, *flags: str, name: str = "app") -> str:
        options = ("--target=bpf", "-O2", "-I/usr/include/x86_64-linux-gnu", *flags, "-fno-ident")
        made = compiled(Peer.CLANG, C_PRELUDE + source, *options, name=name)
        return shutil.copyfile(made, str(tmp_path / made.name))

    return compile_source


def open_descriptors() -> list[str]:
    """What this process's descriptors lead to, sockets and files by their names."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return sorted(found)


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves descriptors open."""
    before = open_descriptors()
    yield
    assert open_descriptors() == before


@pytest.fixture
def network() -> Iterator[Namespace]:
    """A network namespace of the test's own, which the test runs in."""
    namespace = Namespace()
    with namespace:
        yield namespace
    namespace.close()


@pytest.fixture
def namespaces() -> Iterator[Callable[[], Namespace]]:
    """A function that makes more network namespaces."""
    made = []

    def make() -> Namespace:
        made.append(Namespace())
        return made[-1]

    yield make
    for namespace in made:
        namespace.close()


@pytest.fixture
def bpffs() -> Iterator[Path]:
    """A directory of the test's own on the BPF file system, removed with all that is pinned in it."""
    root = Path("/sys/fs/bpf")
    if not os.path.ismount(root):
        pytest.skip(f"no BPF file system is mounted at {root}")
    directory = Path(tempfile.mkdtemp(prefix="test-", dir=root))
    yield directory
    shutil.rmtree(directory)
