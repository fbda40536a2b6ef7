"""Messages: places, source lines, carets, order."""

from __future__ import annotations

import pickle

import pytest

from bpfas.diag import BpfasError, Diagnostics, Source, Span


def test_a_message_shows_its_place_the_line_and_a_caret() -> None:
    source = Source("a.s", "first\nadd r1, bogus\nlast\n")
    error = BpfasError.of("what is wrong", Span(source, 14, 19), ("more of it",))
    assert str(error) == "a.s:2:9: error: what is wrong\nadd r1, bogus\n        ^~~~~\n>>> more of it"


def test_the_caret_stands_below_its_character_behind_tabs() -> None:
    source = Source("a.s", "\tadd\tr1, x\n")
    assert str(BpfasError.of("m", Span(source, 9, 10))).splitlines()[1:] == ["\tadd\tr1, x", "\t   \t    ^"]


def test_a_span_that_goes_on_is_marked_to_the_end_of_its_line() -> None:
    source = Source("a.s", "ab\ncd\n")
    assert str(BpfasError.of("m", Span(source, 1, 5))).splitlines()[1:] == ["ab", " ^"]


def test_messages_come_in_the_order_of_the_sources_and_of_their_places() -> None:
    first, second = Source("1.s", "abc"), Source("2.s", "abc")
    diagnostics = Diagnostics()
    diagnostics.error("third", Span(first, 2, 3))
    diagnostics.error("fourth", Span(second, 0, 1))
    diagnostics.warning("second", Span(first, 1, 2))
    diagnostics.error("last", "a.o:(.text+0x8)")
    with pytest.raises(BpfasError) as raised:
        diagnostics.raise_if_errors()
    assert [item.message for item in raised.value.diagnostics] == ["second", "third", "fourth", "last"]


def test_an_error_may_come_from_another_process() -> None:
    error = BpfasError.of("what is wrong", Span(Source("a.s", "add"), 0, 3), ("more of it",))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert isinstance(copy, BpfasError)
    assert (str(copy), copy.diagnostics[0].notes) == (str(error), ("more of it",))


def test_warnings_alone_are_no_error() -> None:
    diagnostics = Diagnostics()
    diagnostics.warning("mind this")
    diagnostics.raise_if_errors()
    assert not diagnostics.has_errors
