"""The assembly language as a Lark grammar, and the parser that Lark makes of it.

The grammar file is the only definition of the language. What a parse means is `bpfas.asm`'s part; keeping Lark's
finished tables from one run to the next is `bpfas.grammar.cache`'s.
"""

from __future__ import annotations

from functools import cache
from pkgutil import get_data
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.tree import Tree


def grammar_text() -> str:
    """The grammar, as it stands in the file."""
    text = get_data(__name__, "bpf.lark")
    assert text is not None
    return text.decode()


def build_parser(text: str) -> Lark:
    """Lark's LALR(1) parser for a grammar whose start rule is `statement`."""
    from lark import Lark

    return Lark(text, start="statement", parser="lalr", lexer="contextual", keep_all_tokens=True)


@cache
def statement_parser() -> Lark:
    """The parser for one statement. Lark is imported here, by the first text that needs it."""
    from bpfas.grammar.cache import cached_parser

    return cached_parser(grammar_text(), build_parser)


def parse_statement(text: str) -> Tree[Token]:
    """The parse tree of one statement.

    Raises lark.exceptions.UnexpectedInput where the text is none.
    """
    return statement_parser().parse(text)
