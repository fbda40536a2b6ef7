"""Compiled C is kept until something that it is made of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import object_cache
from tests.object_cache import compiled
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.peer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setattr(object_cache, "FOLDER", tmp_path / "cache")


def test_an_object_is_kept_until_its_header_changes(tmp_path: Path) -> None:
    header = tmp_path / "number.h"
    header.write_text("#define NUMBER 1\n")
    source, options = '#include "number.h"\nint number = NUMBER;\n', ("--target=bpf", f"-I{tmp_path}")
    first = compiled(Peer.CLANG, source, *options)
    before = first.stat()
    assert compiled(Peer.CLANG, source, *options).stat() == before
    header.write_text("#define NUMBER 0x1234567\n")
    contents = compiled(Peer.CLANG, source, *options).read_bytes()
    assert (0x1234567).to_bytes(4, "little") in contents


def test_options_and_sources_have_objects_of_their_own() -> None:
    options = ("--target=bpf", "-g")
    objects = {
        compiled(Peer.CLANG, "int a;", *options),
        compiled(Peer.CLANG, "int b;", *options),
        compiled(Peer.CLANG, "int a;", *options, "-O2"),
        compiled(Peer.CLANG, "int a;", *options, name="other"),
    }
    assert len(objects) == 4
    assert all(each.exists() for each in objects)


def test_a_source_that_does_not_compile_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="gave exit status 1"):
        compiled(Peer.CLANG, "int a = b;", "--target=bpf")
    assert list((tmp_path / "cache").iterdir()) == []
