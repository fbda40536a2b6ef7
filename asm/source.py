"""Cuts a source text into statements: comments away, then at newlines, `;` and backticks, but not in strings.

Comments are replaced by as many blanks, so that every statement keeps its place in the text. Comments begin with
`#` or `//` and end with the line, or stand between `/*` and `*/`; GNU as and LLVM agree on these for BPF. In
a line of the kernel's (`bpfas.asm.kernel_text`) `;` begins one too, and the `#` of `call name#number` does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bpfas.asm.kernel_text import PREFIX, doubtful_load
from bpfas.diag import Diagnostics, Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

# A string without its closing quote goes on to the end of its line, for Lark to report it whole.
STRING = r'"(?:\\[^\n]|[^"\\\n])*+(?:"|\\?(?=\n|\Z))'
CHARACTER = r"'(?:\\[^\n]|[^\\\n])'?"
# These two are compiled by `re` itself, and kept, when a source has what they are for.
_COMMENT = rf"(?s:{STRING}|{CHARACTER}|(?P<line>(?:\#|//)[^\n]*)|(?P<block>/\*.*?\*/)|(?P<open>/\*.*))"
_KERNEL_LINE = (
    rf"(?ms)(?P<kernel>^[ \t]*{PREFIX}(?: +call +(?!pc *[-+])[^\s;]+)?(?:[^;#/\n`\"']|/(?![/*]))*)"
    r"(?P<state>;[^\n]*)?"
    rf"|{_COMMENT}"
)
# Begins with what is always the same, so that it is quickly known of most sources that they have none.
_KERNEL_PREFIX = re.compile(r": +(?:[0-9.]{10} +)?\([0-9a-f]{2}\)")
_NOT_NEWLINE = re.compile(r"[^\n]")
_STATEMENT = re.compile(rf"(?:{STRING}|{CHARACTER}|[^;`\n\"']++|')+")


def blank_comments(source: Source, diagnostics: Diagnostics) -> str:
    """The text with blanks in place of comments; newlines stay.

    A comment without end goes on to the end of the text, and is noted in `diagnostics`. So is a load in a line of
    the kernel's whose comment says, or leaves open, that it loads something else than the number in the text.
    """

    def blank_state(match: re.Match[str]) -> str:
        if match["kernel"] is None:
            return blank(match)
        state = match["state"] or ""
        if doubt := doubtful_load(match["kernel"], state):
            why, at, length = doubt
            start = match.start() + at
            diagnostics.error(why, Span(source, start, start + length))
        return match["kernel"] + " " * len(state)

    def blank(match: re.Match[str]) -> str:
        if match["open"]:
            start = match.start()
            diagnostics.error("the comment has no end `*/`", Span(source, start, start + 2))
            return _NOT_NEWLINE.sub(" ", match["open"])
        if match["line"]:
            return " " * len(match["line"])
        return _NOT_NEWLINE.sub(" ", match["block"]) if match["block"] else match[0]

    def blank_line(line: str) -> str:
        code = line.partition("#")[0]
        if '"' in code or "'" in code or "/" in code:
            return re.sub(_COMMENT, blank, line)
        return code.ljust(len(line))

    text = source.text
    if _KERNEL_PREFIX.search(text):
        return re.sub(_KERNEL_LINE, blank_state, text)
    if "/*" in text:
        return re.sub(_COMMENT, blank, text)
    if "#" in text or "//" in text:
        # Without comments of several lines each line is for itself, which is much faster.
        return "\n".join([blank_line(line) if "#" in line or "//" in line else line for line in text.split("\n")])
    return text


def statement_places(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of every statement that is not blank in `text[start:end]`, a text without comments."""
    for match in _STATEMENT.finditer(text, start, end):
        statement = match[0]
        stripped = statement.strip()
        if stripped:
            first = match.start() + len(statement) - len(statement.lstrip())
            yield first, first + len(stripped)
