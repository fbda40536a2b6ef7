"""The directives `.if…`, `.else`, `.elseif`, `.endif`: what they ask, and how what they leave out is passed over.

A condition belongs to the text that opens it (`bpfas.asm.feed`), which must also close it. What is left out
is not read at all: only the directives of this module are looked for in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm.source import statement_places
from bpfas.asm.strings import string_text
from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.feed import Feed, InputStatement
    from bpfas.asm.reader import Reader
    from bpfas.diag import Span

    Test = Callable[[Reader, InputStatement], bool]


@dataclass(eq=False, slots=True)
class Condition:
    """An open `.if`: whether a branch of it has been read already, and whether its `.else` has come."""

    name: str
    span: Span
    is_taken: bool
    has_else: bool = False


def _compare(operator: Callable[[int], bool], reader: Reader, statement: InputStatement) -> bool:
    return operator(reader.number(statement, "the condition"))


def _is_defined(expected: bool, reader: Reader, statement: InputStatement) -> bool:
    symbol = reader.assembler.assembly.symbols.symbols.get(reader.name(statement))
    return (symbol is not None and symbol.is_defined) == expected


def _is_blank(expected: bool, reader: Reader, statement: InputStatement) -> bool:
    return (not statement.argument.strip()) == expected


_COMPARED = re.compile(r"""\s*("(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^,]*?)\s*,\s*(.*?)\s*\Z""", re.DOTALL)


def _are_equal(expected: bool, reader: Reader, statement: InputStatement) -> bool:
    match = _COMPARED.match(statement.argument)
    if match is None:
        raise BpfasError.of(f"{statement.word} compares two texts with a comma between them", statement.span)
    left, right = (
        text[1:-1] if text[:1] == text[-1:] == "'" and len(text) > 1 else text for text in match.groups()
    )
    return (left == right) == expected


_STRINGS = re.compile(r"""\s*("(?:\\.|[^"\\\n])*")\s*,\s*("(?:\\.|[^"\\\n])*")\s*\Z""")


def _are_equal_strings(expected: bool, reader: Reader, statement: InputStatement) -> bool:
    match = _STRINGS.match(statement.argument)
    if match is None:
        raise BpfasError.of(f'{statement.word} compares two strings, such as "a", "b"', statement.span)
    left, right = map(string_text, match.groups())
    return (left == right) == expected


TESTS: dict[str, Test] = {
    ".if": partial(_compare, lambda number: number != 0),
    ".ifne": partial(_compare, lambda number: number != 0),
    ".ifeq": partial(_compare, lambda number: number == 0),
    ".ifgt": partial(_compare, lambda number: number > 0),
    ".ifge": partial(_compare, lambda number: number >= 0),
    ".iflt": partial(_compare, lambda number: number < 0),
    ".ifle": partial(_compare, lambda number: number <= 0),
    ".ifdef": partial(_is_defined, True),
    ".ifndef": partial(_is_defined, False),
    ".ifnotdef": partial(_is_defined, False),
    ".ifb": partial(_is_blank, True),
    ".ifnb": partial(_is_blank, False),
    ".ifc": partial(_are_equal, True),
    ".ifnc": partial(_are_equal, False),
    ".ifeqs": partial(_are_equal_strings, True),
    ".ifnes": partial(_are_equal_strings, False),
}
"""What each directive asks."""


def begin(reader: Reader, statement: InputStatement) -> int:
    """Carry out an `.if…`; give the offset at which reading goes on."""
    condition = Condition(statement.word, statement.span, is_taken=False)
    statement.feed.conditions.append(condition)
    return _choose(condition, reader, statement)


def other(reader: Reader, statement: InputStatement) -> int:
    """Carry out an `.else`, `.elseif` or `.endif`; give the offset at which reading goes on."""
    if not statement.feed.conditions:
        raise BpfasError.of(f"{statement.word} has no .if before it", statement.span)
    return _choose(statement.feed.conditions[-1], reader, statement)


DIRECTIVES = {
    **dict.fromkeys(TESTS, begin),
    **dict.fromkeys((".else", ".elseif", ".elsif", ".endif"), other),
}
"""What each directive of this module does."""


def _choose(condition: Condition, reader: Reader, statement: InputStatement) -> int:
    """Pass over branches from that of the statement on, up to one that is to be read or the condition's end."""
    following: InputStatement | None = statement
    while following is not None:
        if following.word in (".else", ".endif") and following.argument.strip():
            reader.error(f"{following.word} takes no arguments", following.span)
        if following.word == ".endif":
            following.feed.conditions.pop()
            return following.end
        if _is_taken(condition, reader, following):
            condition.is_taken = True
            return following.end
        following = _next_branch(reader, following.feed, following.end)
    return len(statement.feed.text)


def _is_taken(condition: Condition, reader: Reader, statement: InputStatement) -> bool:
    """Whether the branch that the statement begins is the one to be read."""
    if condition.has_else:
        notes = (f"{condition.name} is at {condition.span.place}",)
        reader.assembler.assembly.diagnostics.error(f"{statement.word} behind .else", statement.span, notes)
        return False
    condition.has_else = statement.word == ".else"
    if condition.is_taken or condition.has_else:
        return not condition.is_taken
    try:
        return TESTS.get(statement.word, TESTS[".if"])(reader, statement)
    except BpfasError as error:
        # A condition without a value leaves out all branches, for what they say may mean nothing.
        condition.is_taken = True
        reader.assembler.assembly.diagnostics.items.extend(error.diagnostics)
        return False


_CANDIDATE = re.compile(r"\.(?:if[a-z]*|else|elseif|elsif|endif)(?![\w.$])", re.IGNORECASE)


def _next_branch(reader: Reader, feed: Feed, position: int) -> InputStatement | None:
    """The directive behind `position` that ends the branch which is passed over; None if there is none."""
    depth = 0
    text = feed.text
    while (candidate := _CANDIDATE.search(text, position)) is not None:
        # Whether it is a directive, and not part of a string, the statements of its line tell.
        line_end = text.find("\n", candidate.end())
        line_end = len(text) if line_end < 0 else line_end
        line_start = max(position, text.rfind("\n", 0, candidate.start()) + 1)
        for first, last in statement_places(text, line_start, line_end):
            statement = reader.directive_statement(feed, first, last)
            if statement.word in TESTS:
                depth += 1
            elif depth and statement.word == ".endif":
                depth -= 1
            elif not depth and statement.word in DIRECTIVES:
                return statement
        position = line_end
    return None
