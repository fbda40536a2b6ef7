"""Names in options that no object knows, which are most likely mistyped: a warning for each.

Names that code uses and nobody defines are `bpfas.link.undefined`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.link.options import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.link.options import LinkOptions
    from bpfas.link.symtab import SymbolTable


def warn_of_unknown_names(
    table: SymbolTable, options: LinkOptions, traced: Sequence[str], diagnostics: Diagnostics
) -> None:
    """Warn of --localize, --export, --wrap and -y (the names `traced`) that name nothing there is."""
    if not (options.localized or options.exported or options.wrapped or traced):
        return
    defined = [name for name, found in table.resolutions.items() if found.is_defined]
    for option, patterns in (("--localize", options.localized), ("--export", options.exported)):
        for pattern in patterns:
            if not any(matches(name, (pattern,)) for name in defined):
                _warn(f"{option} {pattern}", "no object defines such a name", pattern, defined, diagnostics)
    mentioned = {mention.symbol.name: None for found in table.resolutions.values() for mention in found.mentions}
    wrapped = sorted(options.wrapped)
    for option, names, known in (
        ("--wrap", wrapped, {name.removeprefix("__real_"): None for name in mentioned}),
        ("-y", traced, mentioned),
    ):
        for name in names:
            if name not in known:
                _warn(f"{option} {name}", "no object that takes part has that name", name, known, diagnostics)


def _warn(option: str, message: str, name: str, known: Iterable[str], diagnostics: Diagnostics) -> None:
    diagnostics.warning(f"{option}: {message}{suggestion(name, known)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: one of `known` that it may be meant for, if any is like it."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` names that is most like `name`, if any is much like it."""
    import difflib  # for messages only

    # Looking for a near name among many takes time, so most are left out.
    candidates = [other for other in known if abs(len(other) - len(name)) <= 2]
    return next(iter(difflib.get_close_matches(name, candidates, n=1, cutoff=0.75)), None)
