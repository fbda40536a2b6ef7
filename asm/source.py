"""Cuts a source text into statements: comments away, then at newlines, `;` and backticks, but not in strings.

Comments are replaced by as many blanks, so that every statement keeps its place in the text. Comments begin with
`#` or `//` and end with the line, or stand between `/*` and `*/`; GNU as and LLVM agree on these for BPF.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bpfas.diag import Diagnostics, Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

# A string without its closing quote goes on to the end of its line, for Lark to report it whole.
STRING = r'"(?:\\[^\n]|[^"\\\n])*+(?:"|\\?(?=\n|\Z))'
CHARACTER = r"'(?:\\[^\n]|[^\\\n])'?"
_COMMENT = re.compile(
    rf"{STRING}|{CHARACTER}|(?P<line>(?:\#|//)[^\n]*)|(?P<block>/\*.*?\*/)|(?P<open>/\*.*)", re.DOTALL
)
_NOT_NEWLINE = re.compile(r"[^\n]")
_STATEMENT = re.compile(rf"(?:{STRING}|{CHARACTER}|[^;`\n\"']++|')+")


def blank_comments(source: Source, diagnostics: Diagnostics) -> str:
    """The text with blanks in place of comments; newlines stay.

    A comment without end goes on to the end of the text, and is noted in `diagnostics`.
    """

    def blank(match: re.Match[str]) -> str:
        if match["open"]:
            start = match.start()
            diagnostics.error("the comment has no end `*/`", Span(source, start, start + 2))
            return _NOT_NEWLINE.sub(" ", match["open"])
        if match["line"]:
            return " " * len(match["line"])
        return _NOT_NEWLINE.sub(" ", match["block"]) if match["block"] else match[0]

    text = source.text
    if "#" in text or "//" in text or "/*" in text:
        return _COMMENT.sub(blank, text)
    return text


def statement_places(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of every statement that is not blank in `text[start:end]`, a text without comments."""
    for match in _STATEMENT.finditer(text, start, end):
        statement = match[0]
        stripped = statement.strip()
        if stripped:
            first = match.start() + len(statement) - len(statement.lstrip())
            yield first, first + len(stripped)
