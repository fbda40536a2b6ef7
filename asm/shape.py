"""Splits a statement's text into its shape and the texts of its slots.

Two statements of one shape parse alike, so Lark has to see only one of them (`bpfas.asm.parser`). A slot is a
string, a character, a number (of a register too) or a word that means nothing to the language; everything else is
the shape. Whether the slots found here are those that Lark sees is checked there, for every new shape.
"""

from __future__ import annotations

import re

from bpfas.isa import OPCODES, Dialect

_SLOT = re.compile(
    r"""(
      "(?:\\.|[^"\\\n])*"
    | '(?:\\.|[^\\\n])'?
    | 0[xX][0-9a-fA-F]+
    | 0[bB][01]+(?![\w.$])
    | (?<=(?<![\w.$])[rRwW])[0-9]+(?![\w.$])
    | (?<![\w.$])[0-9]+
    | (?<![\w.$@])(?![rRwW][0-9]+(?![\w.$])) [^\W\d][\w.$]*
    | (?<![\w.$])[.$][\w.$]*
    )""",
    re.VERBOSE,
)

_LANGUAGE_WORDS = frozenset(("if", "goto", "ll", "lock", "skb", "pc", "map", "fp"))
RESERVED_WORDS: frozenset[str] = _LANGUAGE_WORDS | {
    word
    for row in OPCODES
    for dialect in Dialect
    for word in re.findall(r"[a-z_]\w*", re.sub(r"\{\w+\}", "", row.template(dialect)))
}
"""The words that make forms: mnemonics, functions, types. They are part of a shape."""

_SLOT_LETTERS = {'"': '"', "'": "'", **dict.fromkeys("0123456789", "0")}


def _is_word_of_the_shape(word: str, following: str, *, is_first: bool) -> bool:
    """Whether `word` is one that the language knows: reserved, or a directive at the statement's start."""
    if word.lower() in RESERVED_WORDS:
        return True
    return is_first and word[0] == "." and len(word) > 1 and following.lstrip()[:1] not in (":", "=")


def split_shape(text: str) -> tuple[str, list[str]]:
    """The shape of a statement, for use as a key, and the texts of its slots in order."""
    parts = _SLOT.split(text)
    texts: list[str] = []
    for index in range(1, len(parts), 2):
        part = parts[index]
        letter = _SLOT_LETTERS.get(part[0])
        if letter is None:
            if _is_word_of_the_shape(part, parts[index + 1], is_first=not texts):
                continue
            letter = "S"
        texts.append(part)
        # No statement has this character, so nothing else in a shape can pass for a slot.
        parts[index] = f"\1{letter}"
    return "".join(parts), texts


def slot_positions(text: str) -> list[tuple[int, int]]:
    """Start and end in `text` of the slots that `split_shape` finds, in the same order."""
    positions: list[tuple[int, int]] = []
    for match in _SLOT.finditer(text):
        part = match[0]
        if part[0] not in _SLOT_LETTERS and _is_word_of_the_shape(
            part, text[match.end() :], is_first=not positions
        ):
            continue
        positions.append(match.span())
    return positions
