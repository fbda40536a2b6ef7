"""The parser that comes from the cache is the one that Lark builds, whatever state the cache is in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lark.exceptions import UnexpectedInput

from bpfas.grammar import build_parser, grammar_text
from bpfas.grammar.cache import cached_parser
from bpfas.isa import OPCODES, Dialect, Instruction, format_instruction
from bpfas.user_cache import cache_directory

TEXTS = [
    format_instruction(Instruction(row), dialect)
    for row in OPCODES
    for dialect in Dialect
    if row.template(dialect) and not row.is_alias
]
TEXTS += [
    "foo: 1: .Lx: exit",
    '.section tp/x, "ax", @progbits',
    "x = (1 + 2) * 'a' - foo << 3",
    "jeq %r1, 5, 1f",
    "add r1,,",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def parses() -> list[str]:
    """What a parser from the cache makes of each text."""
    parser = cached_parser(grammar_text(), build_parser)
    results = []
    for text in TEXTS:
        try:
            results.append(parser.parse(text).pretty())
        except UnexpectedInput as error:
            results.append(f"{type(error).__name__} at {error.pos_in_stream}")
    return results


def test_a_parser_from_the_cache_parses_as_a_built_one() -> None:
    built = parses()
    assert len(os.listdir(cache_directory())) == 1
    assert parses() == built


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b'{"data": {}, "memo": {}}', b"\xff\xfe"])
def test_a_damaged_cache_is_made_anew(damage: bytes) -> None:
    built = parses()
    (file,) = Path(cache_directory()).iterdir()
    file.write_bytes(damage)
    assert parses() == built
    assert file.read_bytes() != damage
    assert parses() == built


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    assert parses()
