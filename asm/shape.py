"""Splits a statement's text into its shape and the texts of its slots.

Two statements of one shape parse alike, so Lark has to see only one of them (`bpfas.asm.parser`). A slot is a
string, a character, a number (of a register too) or a word that means nothing to the language; everything else is
the shape. Whether the slots found here are those that Lark sees is checked there, for every new shape.
"""

from __future__ import annotations

import re
from functools import lru_cache

from bpfas.asm.kernel_text import OPCODE_LENGTH, prefix_end
from bpfas.isa import OPCODES

_FLOAT = r"""(?i:
      0x(?:[0-9a-f]*\.[0-9a-f]*(?:p[-+]?[0-9]*)?|[0-9a-f]+p[-+]?[0-9]*)
    | 0[ac-eg-wyz][-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[-+]?[0-9]*)?
    | 0f(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[-+]?[0-9]*)?
          |[-+](?:[0-9]*\.[0-9]+|[0-9]+\.|[0-9]+(?=e))(?:e[-+]?[0-9]*)?)
    | (?:[0-9]+\.[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]*)?
    | [0-9]+e[-+]?[0-9]*
    )(?![\w.$])"""

_SLOT = re.compile(
    rf"""(
      "(?:\\.|[^"\\\n])*+"
    | '(?:\\.|[^\\\n])'?
    | (?=[0-9.])(?<![\w.$]){_FLOAT}
    | 0[xX][0-9a-fA-F]+
    | 0[bB][01]+(?![\w.$])
    | (?<=(?<![\w.$])[rRwW])[0-9]+(?![\w.$])
    | (?<![\w.$])[0-9]+
    | (?<![\w.$@])(?![rRwW][0-9]+(?![\w.$])) [^\W\d][\w.$]*
    | (?<![\w.$])[.$][\w.$]*
    ) | "(?:\\.|[^"\\\n])*+\\?$""",
    re.VERBOSE,
)

_LANGUAGE_WORDS = frozenset(("if", "goto", "ll", "lock", "skb", "pc", "map", "fp"))
_TEMPLATES = "\n".join(template for row in OPCODES for template in (row.normal, row.pseudoc, row.kernel))
RESERVED_WORDS: frozenset[str] = _LANGUAGE_WORDS.union(
    re.findall(r"[a-z_]\w*", re.sub(r"\{\w+\}", "", _TEMPLATES))
)
"""The words that make forms: mnemonics, functions, types. They are part of a shape."""

SLOT_MARK = "\1"
"""What stands in a shape before the letter of a slot."""

_SLOT_LETTERS = {'"': '"', "'": "'", **dict.fromkeys("0123456789", "0")}


def _slot_letter(part: str) -> str | None:
    """The letter of the kind of slot that `part` is; None for a word.

    Numbers with a prefix and floating-point numbers are no numeric labels, so they make other shapes; and so does
    what begins with a dot and may be a number or, unlike others, a name.
    """
    letter = _SLOT_LETTERS.get(part[0])
    if letter == "0":
        if part.isdecimal():
            return "0"
        return "x" if part[1] in "xXbB" and part.isalnum() and "p" not in part.lower() else "F"
    if part[0] == "." and part[1:2].isdecimal() and _DOTTED_FLOAT.fullmatch(part):
        return "D"
    return letter


_DOTTED_FLOAT = re.compile(r"\.[0-9]+(?:[eE][-+]?[0-9]*)?")

_DEFINITION = re.compile(r"\s*[:=]")


def _is_word_of_the_shape(preceding: str, word: str, text: str, end: int, *, is_first: bool) -> bool:
    """Whether `word`, which ends at `end` of `text`, is one that the language knows: reserved, or a directive.

    A directive is at the statement's start or behind a label; `preceding` is the text before it, from the end of
    the slot or word before.
    """
    if word.lower() in RESERVED_WORDS:
        return True
    if word[0] != "." or len(word) == 1 or _DEFINITION.match(text, end):
        return False
    return preceding.rstrip()[-1:] == ":" or (is_first and not preceding.strip())


def split_shape(text: str) -> tuple[str, list[str]]:
    """The shape of a statement, for use as a key, and the texts of its slots in order.

    The statement must not have a SLOT_MARK.
    """
    begin = prefix_end(text)
    parts = _SLOT.split(text[begin:])
    texts: list[str] = []
    for index in range(1, len(parts), 2):
        part = parts[index]
        if part is None:  # a string that is not closed, for which there is no template
            parts[index] = SLOT_MARK
            break
        letter = _slot_letter(part)
        if letter is None:
            if _is_word_of_the_shape(parts[index - 1], part, parts[index + 1], 0, is_first=index == 1):
                continue
            letter = "S"
        texts.append(part)
        parts[index] = SLOT_MARK + letter
    # Of a prefix, the opcode between its parentheses belongs to the shape.
    return text[begin - OPCODE_LENGTH : begin] + "".join(parts) if begin else "".join(parts), texts


@lru_cache(maxsize=4)  # a long list may have many errors
def slot_positions(text: str) -> list[tuple[int, int]]:
    """Start and end in `text` of the slots that `split_shape` finds, in the same order; not to be changed."""
    positions: list[tuple[int, int]] = []
    begin = end_of_last = prefix_end(text)
    for match in _SLOT.finditer(text, begin):
        part = match[1]
        if part is None:
            break
        preceding, end_of_last = text[end_of_last : match.start()], match.end()
        if _slot_letter(part) is None and _is_word_of_the_shape(
            preceding, part, text, match.end(), is_first=match.start() == begin + len(preceding)
        ):
            continue
        positions.append(match.span())
    return positions
