"""What a link may be told: the choices behind bpf-ld's options.

How they are written on a command line is `bpfas.link.option_table`'s part.
"""

from __future__ import annotations

import enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Unresolved(enum.Enum):
    """What becomes of strong names that nobody defines."""

    ERROR = "error"
    WARN = "warn"
    IGNORE = "ignore"


class Strip(enum.IntEnum):
    """How much of what only tools read is left out; each includes the one before."""

    NOTHING = 0
    DEBUG = 1
    """Debugging sections."""
    ALL = 2
    """Also symbols that neither a relocation nor a loader needs."""


class Discard(enum.IntEnum):
    """Which local symbols are left out, of those that neither a relocation nor a loader needs."""

    NONE = 0
    TEMPORARY = 1
    """Those that begin with `.L`."""
    LOCALS = 2


class LinkOptions(NamedTuple):
    """The choices of a link; names of symbols are exact, where not said otherwise.

    `partial`: the output is for another link, so weak definitions stay weak, whoever refers to them.
    `definitions` gives names their values (--defsym: name, expression). `roots` are kept by `gc_functions` and
    must be defined (-e), `wanted` are kept if they are defined, and pull members out of archives (-u). `exported`
    and `localized` are glob patterns: with any in `exported`, other functions of .text and variables become local.
    `retained` (None: all) are the symbols that a file lists.
    """

    partial: bool = False
    unresolved: Unresolved = Unresolved.ERROR
    allow_multiple_definition: bool = False
    gc_weak: bool = True
    gc_functions: bool = False
    roots: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    definitions: tuple[tuple[str, str], ...] = ()
    wrapped: frozenset[str] = frozenset()
    exported: tuple[str, ...] = ()
    localized: tuple[str, ...] = ()
    retained: frozenset[str] | None = None
    strip: Strip = Strip.NOTHING
    discard: Discard = Discard.NONE


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether any of some glob patterns matches a name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


DEFAULT_OPTIONS = LinkOptions()
