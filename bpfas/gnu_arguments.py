"""Arguments that are read as GNU's as and ld read them: a word after the other, each an input or an option.

Which option a word means is for `bpfas.asm.command_line` and `bpfas.link.command_line` to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from bpfas.diag import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Command = TypeVar("_Command", contravariant=True)


class OptionError(ValueError):
    """What is wrong with an option or its argument."""


class Option(Protocol[_Command]):
    """What an option does to a command, and how its argument is given."""

    @property
    def act(self) -> Callable[[_Command, str], None]:
        """What is done, with the argument or an empty text. Raises ValueError for an argument that is wrong."""

    @property
    def argument(self) -> str | None:
        """What the argument is called, None if there is none."""

    @property
    def is_joined(self) -> bool:
        """Whether the argument stands behind `=` only, or is missing."""


def take_all(arguments: Sequence[str], take: Callable[[str, list[str]], None]) -> None:
    """Let `take` do what each word says; it also gets the words behind, last first, of which it may remove some.

    Raises BpfasError with every OptionError.
    """
    diagnostics = Diagnostics()
    waiting = list(reversed(arguments))
    while waiting:
        try:
            take(waiting.pop(), waiting)
        except OptionError as error:
            diagnostics.error(str(error))
    diagnostics.raise_if_errors()


def act_on_word(option: Option[_Command], command: _Command, word: str, waiting: list[str]) -> None:
    """Do what `option`, named by the whole `word`, says; its argument stands behind `=` or is the next word."""
    _, equals, value = word.partition("=")
    if equals and option.argument is None:
        raise OptionError(f"{word}: this option takes no argument")
    if not equals and option.argument is not None and not option.is_joined:
        if not waiting:
            raise OptionError(f"{word} needs an argument ({option.argument}); try --help")
        value = waiting.pop()
    act_with_value(option, command, value, word if equals or option.argument is None else f"{word} {value}")


def act_with_value(option: Option[_Command], command: _Command, value: str, shown: str) -> None:
    """Do what `option` says with the argument `value`; messages call it `shown`."""
    try:
        option.act(command, value)
    except ValueError as error:
        raise OptionError(f"{shown.strip()}: {error}") from None
