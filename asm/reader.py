"""Reads sources statement by statement, with what makes one text of several: `.include`, macros, `.rept`, `.if`.

The directives in `INPUT_DIRECTIVES` say which text is read next; every other statement is carried out by
`bpfas.asm.assembler`. A text that is read because of another one (an included file, the expansion of a macro) is a
`Source` that knows where it was asked for, and is read like an input: in batches, if it is large. The text side of
macros is `bpfas.asm.macros`'s part.
"""

from __future__ import annotations

import contextlib
import os
import re
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from bpfas.asm.assembly import StatementError, need_arguments
from bpfas.asm.feed import (
    EXPANSION_LIMIT,
    EndOfExpansion,
    EndOfReading,
    EndOfSource,
    Feed,
    InputStatement,
    MacroError,
)
from bpfas.asm.input_directives import INPUT_DIRECTIVES
from bpfas.asm.parser import REGISTER
from bpfas.asm.shape import RESERVED_WORDS
from bpfas.asm.source import blank_comments, statement_places
from bpfas.asm.statement import Directive
from bpfas.diag import BpfasError, Expansion, ExpansionKind, Source, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.assembler import Assembler
    from bpfas.asm.macro_arguments import AlternateMode
    from bpfas.asm.macro_directives import KnownMacro
    from bpfas.asm.statement import Argument, Statement

_T = TypeVar("_T")

DEEPEST_EXPANSION = 100
"""Levels of included files and macros within one another."""

_COST_OF_EXPANSION = 64
"""Characters that every expansion counts for besides its own, at each level, so that there are not too many."""

_HEAD = re.compile(r'(?P<labels>(?:(?:[\w.$]+|"(?:\\.|[^"\\\n])*")\s*:\s*)*)(?P<word>[\w.$]*)')
_ASSIGNMENT = re.compile(r"\s*=")


class Reader:
    """Feeds statements to an assembler."""

    def __init__(self, assembler: Assembler) -> None:
        self.assembler = assembler
        self.macros: dict[str, KnownMacro] = {}
        self._reserved_macros: set[str] = set()
        self.alternate: AlternateMode | None = None
        self.executed = 0
        self._locals = 0
        self._depth = 0
        self._expanded = 0

    @property
    def has_reserved_macro(self) -> bool:
        """Whether a macro has a name that is a word of the language, so that batches must not be used."""
        return bool(self._reserved_macros)

    def define_macro(self, macro: KnownMacro) -> None:
        """Let the macro's name mean it; its capitals do not matter."""
        name = macro.macro.name.lower()
        self.macros[name] = macro
        if name in RESERVED_WORDS or REGISTER.match(name):
            self._reserved_macros.add(name)

    def purge_macro(self, name: str) -> bool:
        """Forget a macro; whether there was one of that name."""
        self._reserved_macros.discard(name.lower())
        return self.macros.pop(name.lower(), None) is not None

    def read_file(self, source: Source) -> None:
        """Carry out all statements of an input or of an included file."""
        with contextlib.suppress(EndOfSource):
            self._read(Feed(source, blank_comments(source, self.assembler.assembly.diagnostics)))

    def _read(self, feed: Feed) -> None:
        if self._depth > DEEPEST_EXPANSION:
            self._stop(f"included files and macros are nested more than {DEEPEST_EXPANSION} levels deep", feed)
        self._depth += 1
        record = self.assembler.assembly.listing
        try:
            with contextlib.nullcontext() if record is None else record.reading(feed):
                self._read_statements(feed)
            for condition in feed.conditions:
                self.error(f"{condition.name} has no .endif", condition.span)
        finally:
            self._depth -= 1

    def _read_statements(self, feed: Feed) -> None:
        if self.assembler.is_read_in_batches(feed.text) and not self.has_reserved_macro:
            # numpy takes a tenth of a second to import, which only a large source is worth.
            from bpfas.asm.batch import BatchReader

            BatchReader(self.assembler, feed).read()
        else:
            self.read_lines(feed, 0, len(feed.text))

    def read_lines(self, feed: Feed, start: int, end: int) -> int:
        """Carry out the statements that begin from `start` on and before `end` of a text.

        Gives the offset at which reading goes on: `end`, or one behind it, if a block that began before `end` has
        its end there.
        """
        position: int | None = start
        while position is not None and position < end:
            position = self._read_until_jump(feed, position, end)
        return end if position is None else position

    def _read_until_jump(self, feed: Feed, start: int, end: int) -> int | None:
        """Carry out statements until one says that another offset than that behind it is next; that offset."""
        text = feed.text
        parser, diagnostics = self.assembler.parser, self.assembler.assembly.diagnostics
        record = self.assembler.assembly.listing
        for first, last in statement_places(text, start, end):
            try:
                if (statement := self._input_statement(feed, first, last)) is not None:
                    position = self._carry_out(statement)
                    if position != last:
                        return position
                    continue
                parsed = parser.parse(text[first:last], feed.source, first)
                if record is None:
                    self.assembler.carry_out(parsed)
                else:
                    record.carry_out(parsed, self.assembler)
            except BpfasError as error:
                diagnostics.items.extend(error.diagnostics)
        return None

    def _input_statement(self, feed: Feed, first: int, last: int) -> InputStatement | None:
        """The statement as one that says what is read next, with its labels defined; None if it is another."""
        statement = self.directive_statement(feed, first, last)
        if statement.word not in INPUT_DIRECTIVES and statement.word not in self.macros:
            return None
        if _ASSIGNMENT.match(statement.argument):
            return None
        if statement.start > first:
            labels = feed.text[first : statement.start].rstrip()
            self.assembler.carry_out(self.assembler.parser.parse(labels, feed.source, first))
        return statement

    def directive_statement(self, feed: Feed, first: int, last: int) -> InputStatement:
        """The statement at `first` to `last` cut into its first word, behind labels, and what stands behind it."""
        head = _HEAD.match(feed.text, first, last)
        assert head is not None
        return InputStatement(feed, head["word"].lower(), head.start("word"), head.end(), last)

    def _carry_out(self, statement: InputStatement) -> int:
        """Do what the statement says; give the offset at which reading goes on."""
        record = self.assembler.assembly.listing
        try:
            handler = INPUT_DIRECTIVES.get(statement.word)
            position = self._call_macro(statement) if handler is None else handler(self, statement)
        except MacroError as error:
            raise BpfasError.of(str(error), statement.place_of(error)) from None
        except (EndOfSource, EndOfExpansion):
            if record is not None:
                record.reading_ends(statement)
            raise
        if record is not None:
            record.reading_goes_on(statement, position)
        return position

    def error(self, message: str, at: Span) -> None:
        """Note an error and go on."""
        self.assembler.assembly.diagnostics.error(message, at)

    def _call_macro(self, statement: InputStatement) -> int:
        from bpfas.asm.macro_directives import call_macro

        return call_macro(self, statement)

    def parse(self, statement: InputStatement) -> Statement:
        """The statement as one of the language: behind most directives stands an expression or a string."""
        text = statement.feed.text[statement.start : statement.end]
        return self.assembler.parser.parse(text, statement.feed.source, statement.start)

    def number(self, statement: InputStatement, what: str) -> int:
        """The number behind a directive. Raises BpfasError."""
        return self._argument(self.parse(statement), partial(self.assembler.assembly.number, what=what))

    def name(self, statement: InputStatement) -> str:
        """The name behind a directive. Raises BpfasError."""
        return self._argument(self.parse(statement), self.assembler.assembly.name)

    def path(self, statement: InputStatement) -> str:
        """The name of a file behind a directive. Raises BpfasError."""
        return os.fsdecode(self._argument(self.parse(statement), self.assembler.assembly.string))

    def _argument(self, parsed: Statement, take: Callable[[Argument, Statement], _T]) -> _T:
        """What `take` makes of the only argument of a directive."""
        directive = parsed.template.body
        assert isinstance(directive, Directive)
        try:
            need_arguments(directive, 1, 1)
            return take(directive.arguments[0], parsed)
        except StatementError as error:
            raise BpfasError.of(str(error), parsed.span_of(error.node), error.notes) from None

    def expand(
        self, statement: InputStatement, text: str, what: str, origin: tuple[str, int], period: int = 0
    ) -> None:
        """Read `text`, which the statement stands for, before what comes behind it.

        `origin` are the file and line that it has been made from; after `period` lines that begins again.
        """
        name, first_line = origin
        # What is deep inside others is many times more likely to be a mistake than what a file calls itself.
        self._expanded += (len(text) + _COST_OF_EXPANSION * self._depth) * self._depth
        if self._expanded > EXPANSION_LIMIT:
            self._stop(f"the expansions would have more than {EXPANSION_LIMIT} characters", statement.feed)
        kind = ExpansionKind.REPETITION if period else ExpansionKind.MACRO
        source = Source(name, text, Expansion(what, statement.span, first_line, period, kind))
        with contextlib.suppress(EndOfExpansion):
            self._read(Feed(source, text, is_expansion=True))

    def _stop(self, message: str, feed: Feed) -> None:
        at = feed.span(0, 0) if feed.source.expansion is None else feed.source.expansion.at
        self.error(f"{message}; is there one that asks for itself?", at)
        raise EndOfReading

    def set_alternate(self, is_on: bool) -> None:
        """Switch the alternate mode of macros."""
        self.alternate = None
        if is_on:
            from bpfas.asm.macro_arguments import AlternateMode

            self.alternate = AlternateMode(self._evaluate, self._new_local)

    def _evaluate(self, text: str) -> int:
        """The value of `%text`, for a macro's argument. Raises MacroError, which has no place."""
        statement = InputStatement(
            Feed(Source("<argument>", f".if {text}"), f".if {text}"), ".if", 0, 3, 4 + len(text)
        )
        try:
            return self.number(statement, "the value behind %")
        except BpfasError as error:
            raise MacroError(error.diagnostics[0].message) from None

    def _new_local(self) -> str:
        self._locals += 1
        return f".LL{self._locals:04x}"
