"""Cuts a source text into statements: comments away, then at newlines, `;` and backticks, but not in strings.

Comments are replaced by as many blanks, so that every statement keeps its place in the text. Comments begin with
`#` or `//` and end with the line, or stand between `/*` and `*/`; GNU as and LLVM agree on these for BPF. In
a line of the kernel's (`bpfas.asm.kernel_text`) `;` begins one too, and the `#` of `call name#number` does not.

So does `;` in what a GCC before 14 has written, as in the GNU as of its time (binutils 2.40). Its line markers
around inline assembly, `; 12 "file.c" 1`, are known by themselves, for `.ident` need not be there.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from bpfas.asm.kernel_text import PREFIX, doubtful_load
from bpfas.diag import SEMICOLON_LINE_MARKER, Diagnostics, Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

# A string without its closing quote goes on to the end of its line, for Lark to report it whole.
STRING = r'"(?:\\[^\n]|[^"\\\n])*+(?:"|\\?(?=\n|\Z))'
CHARACTER = r"'(?:\\[^\n]|[^\\\n])'?"
_KERNEL_LINE = (
    rf"(?P<kernel>^[ \t]*{PREFIX}(?: +call +(?!pc *[-+])[^\s;]+)?(?:[^;#/\n`\"']|/(?![/*]))*)(?P<state>;[^\n]*)?"
)
# Begins with what is always the same, so that it is quickly known of most sources that they have none.
_KERNEL_PREFIX = re.compile(r": +(?:[0-9.]{10} +)?\([0-9a-f]{2}\)")
_NOT_NEWLINE = re.compile(r"[^\n]")
_IDENT_OF_GCC = re.compile(r'\.ident[ \t]+"GCC: \(.*\) ([0-9]{1,3})\.')
_FIRST_GCC_WITH_SEPARATOR = 14
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
        if '"' in code or "'" in code or "/" in code or ";" in marks:
            return comment.sub(blank, line)
        return code.ljust(len(line))

    text = source.text
    if "\n;" in text or text.startswith(";"):
        text = SEMICOLON_LINE_MARKER.sub(lambda match: "#" + match[0][1:], text)
    marks = ("#", "//", ";") if _is_by_old_gcc(text) else ("#", "//")
    comment = _comment(marks)
    if _KERNEL_PREFIX.search(text):
        return re.compile(rf"{_KERNEL_LINE}|{comment.pattern}", re.DOTALL | re.MULTILINE).sub(blank_state, text)
    if "/*" in text:
        return comment.sub(blank, text)
    # Without comments of several lines each line is for itself, which is much faster.
    if ";" in marks:
        return "\n".join(
            [blank_line(line) if ";" in line or "#" in line or "//" in line else line for line in text.split("\n")]
        )
    if "#" in text or "//" in text:
        return "\n".join([blank_line(line) if "#" in line or "//" in line else line for line in text.split("\n")])
    return text


@cache
def _comment(marks: tuple[str, ...]) -> re.Pattern[str]:
    """What finds comments, those of one line being begun by one of `marks`, and strings, where there are none."""
    beginning = "|".join(map(re.escape, marks))
    return re.compile(
        rf"{STRING}|{CHARACTER}|(?P<line>(?:{beginning})[^\n]*)|(?P<block>/\*.*?\*/)|(?P<open>/\*.*)", re.DOTALL
    )


def _is_by_old_gcc(text: str) -> bool:
    """Whether `.ident` says that a GCC has written the text whose assembler took `;` for a comment's beginning."""
    return ";" in text and any(
        int(ident[1]) < _FIRST_GCC_WITH_SEPARATOR
        and not text[text.rfind("\n", 0, ident.start()) + 1 : ident.start()].strip()
        for ident in _IDENT_OF_GCC.finditer(text)
    )


def statement_places(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of every statement that is not blank in `text[start:end]`, a text without comments."""
    for match in _STATEMENT.finditer(text, start, end):
        statement = match[0]
        stripped = statement.strip()
        if stripped:
            first = match.start() + len(statement) - len(statement.lstrip())
            yield first, first + len(stripped)
