"""Keeps Lark's parse tables in the user's cache directory, so that starting up does not compute them anew.

The file is JSON, not the pickle that Lark itself would write: who runs a tool as root with a user's home must
not run that user's code. A file that is missing, damaged or of another version is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

from bpfas.user_cache import read_cached, write_cached

if TYPE_CHECKING:
    from collections.abc import Callable

    from lark import Lark

_LAYOUT = 1
"""Number of what this module writes; another one makes other file names."""


def cached_parser(grammar: str, build: Callable[[str], Lark]) -> Lark:
    """The parser that `build` makes of `grammar`, from the cache if it is there."""
    import lark

    identity = f"{_LAYOUT}\0{lark.__version__}\0{grammar}".encode()
    name = f"grammar-{hashlib.sha256(identity).hexdigest()[:32]}.json"
    # Whatever is wrong with the file, in whichever of Lark's depths it shows, the remedy is to build the parser.
    with contextlib.suppress(Exception):
        return lark.Lark.load(json.loads(read_cached(name) or b"", object_hook=_with_numbers_as_keys))
    parser = build(grammar)
    data, memo = parser.memo_serialize([lark.lexer.TerminalDef, lark.grammar.Rule])
    write_cached(name, json.dumps({"data": data, "memo": memo}).encode())
    return parser


def _with_numbers_as_keys(mapping: dict[str, Any]) -> dict[str | int, Any]:
    """JSON has only strings as keys, but Lark numbers its states and symbols."""
    return {int(key) if key.isdecimal() else key: value for key, value in mapping.items()}
