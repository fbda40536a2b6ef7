"""The arguments of bpf-ld, read as GNU ld reads them.

Long options have one dash or two (one that begins with `o` needs two); the argument of a short one is joined to it
or the next word; `-rs` is `-r -s`. What the options are is `bpfas.link.option_table`'s part, and carrying them out
`bpfas.link.cli`'s.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bpfas.cli import STANDARD_STREAM
from bpfas.gnu_arguments import OptionError, act_on_word, act_with_value, take_all
from bpfas.link.inputs import Input
from bpfas.link.option_table import OPTIONS, REFUSED_OPTIONS
from bpfas.link.options import LinkOptions, Unresolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.elf.constants import ByteOrder
    from bpfas.link.option_table import Option


class CommandLine:
    """What the arguments say.

    `request` is `help` or `version` if the command shall only print that. `chosen` and `gathered` are values of
    `bpfas.link.options.LinkOptions`, by name. `method` says whether undefined names are errors; None: they are,
    but not with -r. `whole_archive`, `group` and `states` hold for the inputs that follow.
    """

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.library_directories: list[str] = []
        self.output = "a.out"
        self.request = ""
        self.order: ByteOrder | None = None
        self.is_partial = False
        self.method: Unresolved | None = None
        self.undefined_names_are = Unresolved.ERROR
        self.chosen: dict[str, Any] = {}
        self.gathered: dict[str, list[Any]] = {}
        self.retained_file: str | None = None
        self.traced_symbols: list[str] = []
        self.traces = 0
        self.map_file: str | None = None
        self.prints_cross_references = False
        self.prints_removed = False
        self.warnings_are_errors = False
        self.color = "auto"
        self.shows_version = False
        self.warnings: list[str] = []
        self.whole_archive = False
        self.group = 0
        self.groups = 0
        self.states: list[bool] = []

    def options(self) -> LinkOptions:
        """The choices of the link, without the file of names to be retained."""
        unresolved = self.method or (Unresolved.IGNORE if self.is_partial else Unresolved.ERROR)
        if unresolved is Unresolved.ERROR:
            unresolved = self.undefined_names_are
        chosen: dict[str, Any] = {name: tuple(values) for name, values in self.gathered.items()}
        chosen["wrapped"] = frozenset(chosen.get("wrapped", ()))
        return LinkOptions(partial=self.is_partial, unresolved=unresolved, **chosen, **self.chosen)

    def add_input(self, text: str, *, is_library: bool = False) -> None:
        """Add an input, with what holds for it at this place."""
        self.inputs.append(Input(text, is_library, self.whole_archive, self.group))


def _long_name(name: str) -> str:
    """The name of a long option with two dashes; a short one stays what it is, and what GNU ld takes for `-o`."""
    is_short = name.startswith("--") or len(name) < 3 or name[1] == "o"
    return name if is_short else f"-{name}"


_SHORT = {name: option for option in OPTIONS for name in option.names if len(name) == 2}
_LONG = {_long_name(name): option for option in OPTIONS for name in option.names if len(name) > 2}
_FLAGS = frozenset(name for name, option in _SHORT.items() if option.argument is None)
_REASONS = {_long_name(name): reason for name, reason in REFUSED_OPTIONS.items()}


def parse(arguments: Sequence[str]) -> CommandLine:
    """What the arguments say. Raises BpfasError with all that is wrong with them."""
    command = CommandLine()
    take_all(arguments, partial(_take, command))
    if command.group:
        command.warnings.append("--start-group without --end-group behind it: the group goes to the end")
    return command


def _take(command: CommandLine, word: str, waiting: list[str]) -> None:
    """Do what `word` says; an option may take its argument from the end of the words that are waiting."""
    if word == STANDARD_STREAM or not word.startswith("-"):
        command.add_input(word)
        return
    name, equals, _ = word.partition("=")
    option = _long_option(name) or (_SHORT.get(name) if not equals else None)
    short = _SHORT.get(word[:2])
    if option is not None:
        act_on_word(option, command, word, waiting)
    elif reason := _REASONS.get(_long_name(name)):
        raise OptionError(f"{name} is not supported: {reason}")
    elif short is not None and short.argument is not None:
        act_with_value(short, command, word[2:], word)
    elif not word.startswith("--") and all(f"-{letter}" in _FLAGS for letter in word[1:]):
        for letter in word[1:]:
            _SHORT[f"-{letter}"].act(command, "")
    elif reason := _REASONS.get(word[:2]):
        raise OptionError(f"{word} is not supported: {reason}")
    else:
        raise OptionError(f"unknown option {word}{_suggestion(name)}")


def _long_option(name: str) -> Option | None:
    return _LONG.get(_long_name(name))


def _suggestion(name: str) -> str:
    import difflib  # for messages only

    close = difflib.get_close_matches(_long_name(name), [*_LONG, *_SHORT], n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else "; try --help"
