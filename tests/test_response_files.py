"""Response files: `@FILE` stands for the words in FILE."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfas.cli import expand_response_files
from bpfas.diag import BpfasError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" -a\tb\n\n c\r\n", ["-a", "b", "c"]),
        ("'a b' \"c d\" e\\ f", ["a b", "c d", "e f"]),
        ("-I'a b'c\"d e\"", ["-Ia bcd e"]),
        ("\"a\\\"b\" 'a\\'b' a\\\\b", ['a"b', "a'b", "a\\b"]),
        ("'a\"b' \"a'b\"", ['a"b', "a'b"]),
        ("'' \"\"", ["", ""]),
        ("'open and on", ["open and on"]),
        ("end\\", ["end"]),
    ],
)
def test_words_are_cut_and_unquoted(text: str, words: list[str]) -> None:
    Path("r").write_text(text)
    assert expand_response_files(["before", "@r", "after"]) == ["before", *words, "after"]


def test_response_files_may_name_others() -> None:
    Path("one").write_text("1 @two 4")
    Path("two").write_text("2 3")
    assert expand_response_files(["0", "@one", "5"]) == ["0", "1", "2", "3", "4", "5"]


def test_a_file_that_is_not_there_stays_a_word() -> None:
    assert expand_response_files(["@missing", "@"]) == ["@missing", "@"]


def test_an_endless_loop_is_an_error() -> None:
    Path("r").write_text("@r")
    with pytest.raises(BpfasError, match="more than 2000 response files; does @r name itself"):
        expand_response_files(["@r"])


def test_null_bytes_are_an_error() -> None:
    Path("r").write_bytes(b"a.o\0")
    with pytest.raises(BpfasError, match="@r is no response file: it has null bytes"):
        expand_response_files(["@r"])
