"""The text of macros: ends of blocks, arguments of calls, and what bodies become, alone and beside GNU as."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.asm import assemble
from bpfas.asm.feed import MacroError
from bpfas.asm.macro_arguments import AlternateMode
from bpfas.asm.macros import (
    Macro,
    Parameter,
    bind_arguments,
    expand,
    expand_loop,
    expand_repetition,
    find_block_end,
    parse_heading,
    parse_irp,
    parse_irpc,
)
from bpfas.elf.reader import read_object
from tests.asm.macro_sources import SOURCES
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def value(expression: str) -> int:
    """The value of an expression in which `q` is 7."""
    section = assemble(f".set q, 7\n.data\n.quad {expression}\n").section(".data")
    assert section
    return int.from_bytes(section.data, "little", signed=True)


def alternate_mode() -> AlternateMode:
    """Alternate mode with the local names of GNU as."""
    numbers = itertools.count(1)
    return AlternateMode(value, lambda: f".LL{next(numbers):04x}")


def define(heading: str, body: str, alternate: AlternateMode | None = None) -> Macro:
    name, parameters = parse_heading(heading, alternate)
    return Macro(name, parameters, body)


def bind(heading: str, call: str, alternate: AlternateMode | None = None) -> list[str]:
    """The parameters' values in a call."""
    return list(bind_arguments(define(f"m {heading}", "", alternate), call, alternate).values())


class Processor:
    """Takes all macros and repetitions out of sources with one statement a line."""

    def __init__(self) -> None:
        self._macros: dict[str, Macro] = {}
        self._calls: dict[str, int] = {}
        self._alternate: AlternateMode | None = None
        self._mode = alternate_mode()

    def without_macros(self, text: str) -> str:
        return "".join(self._pieces(text))

    def _pieces(self, text: str) -> Iterator[str]:
        at = 0
        while match := re.compile(r"((?:[ \t]*\w+[ \t]*:)*[ \t]*)([\w.$]*)([^\n]*)\n").match(text, at):
            at = match.end()
            labels, name, rest = match.groups()
            body = ""
            if name.lower() in (".macro", ".rept", ".rep", ".irp", ".irpc", ".irep", ".irepc"):
                place = find_block_end(text, at - 1, len(text), name.lower())
                assert place
                body, at = text[at : place[0]], place[1] + 1
            if name.lower() == ".macro":
                macro = define(rest, body, self._alternate)
                self._macros[macro.name.lower()] = macro
                self._calls[macro.name.lower()] = 0
            elif name in (".altmacro", ".noaltmacro"):
                self._alternate = self._mode if name == ".altmacro" else None
            elif body or name.lower() in self._macros:
                yield labels
                for expansion in self._expansions(name.lower(), rest, body):
                    yield self.without_macros(expansion)
            else:
                yield match[0]

    def _expansions(self, name: str, rest: str, body: str) -> Iterator[str]:
        executed = sum(self._calls.values())
        if name in (".rept", ".rep"):
            yield from expand_repetition(body, value(rest))
        elif name in (".irp", ".irep"):
            yield from expand_loop(body, *parse_irp(rest, self._alternate), executed, self._alternate)
        elif name in (".irpc", ".irepc"):
            yield from expand_loop(body, *parse_irpc(rest), executed, self._alternate)
        else:
            macro = self._macros[name]
            arguments = bind_arguments(macro, rest, self._alternate)
            text = expand(macro, arguments, executed, self._calls[name], self._alternate)
            self._calls[name] += 1
            yield text


def gnu_data(text: str, directory: Path) -> bytes:
    """What GNU as makes of a text in .data."""
    source, output = directory / "x.s", directory / "x.o"
    source.write_text(f".data\n{text}")
    Peer.GNU_AS.run("-EL", source, "-o", output)
    section = read_object(output.read_bytes(), "x.o").section(".data")
    assert section
    return bytes(section.data)


@pytest.mark.peer
@pytest.mark.parametrize("text", SOURCES.values(), ids=list(SOURCES))
def test_gnu_as_makes_the_same(text: str, tmp_path: Path) -> None:
    without = Processor().without_macros(text)
    assert not re.search(r"^[ \t]*(m\b|\.(macro|endm|irp|rept|endr))", without, re.MULTILINE)
    data = gnu_data(text, tmp_path)
    assert data
    assert gnu_data(without, tmp_path) == data


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("m", ()),
        ("m a, b=4, c:req, rest:vararg", [("a", "", 0, 0), ("b", "4", 0, 0), ("c", "", 1, 0), ("rest", "", 0, 1)]),
        ("m a b = 4 c : req", [("a", "", 0, 0), ("b", "4", 0, 0), ("c", "", 1, 0)]),
        ("m, a=(1 2), b=\"x y\" c='x'", [("a", "(1 2)", 0, 0), ("b", "x y", 0, 0), ("c", "120", 0, 0)]),
        ("m a:req=5", [("a", "", 1, 0)]),
        ("m a:vararg=1 + 2", [("a", "1+2", 0, 1)]),
    ],
)
def test_headings(heading: str, expected: list[tuple[str, str, int, int]]) -> None:
    name, parameters = parse_heading(heading)
    assert name == "m"
    assert parameters == tuple(
        Parameter(name, default, bool(is_required), bool(is_vararg))
        for name, default, is_required, is_vararg in expected
    )


@pytest.mark.parametrize(
    ("parameters", "call", "expected"),
    [
        ("a, b", "x + y, z", ["x+y", "z"]),
        ("a, b", "1 -1", ["1-1", ""]),
        ("a, b", "(1 2) , 3", ["(1 2)", "3"]),
        ("a, b", '"x, y" z', ["x, y", "z"]),
        ("a, b=9", "'a'", ["97", "9"]),
        ("a, b", "b = 5, a=6", ["6", "5"]),
        ("a, b:vararg", "1, 2 , 3 4", ["1", "2,3 4"]),
    ],
)
def test_arguments(parameters: str, call: str, expected: list[str]) -> None:
    assert bind(parameters, call) == expected


@pytest.mark.parametrize(
    ("parameters", "call", "expected"),
    [
        ("a, b", "<x, y> %1+2", ["x,y", "3"]),
        ("a, b", "<x!>> %(q + 1) ", ["x>", "8"]),
        ("a, b", '"x y" z', ['"x y"', "z"]),
        pytest.param("a, b", "'x, y' 'z'", ['"x, y"', "122"], id="apostrophes about more than one character"),
        pytest.param("a, b", r"'x', '\n'", ["120", "10"], id="apostrophes about one character"),
        pytest.param("a, b", "'x, 'y", ["120", "121"], id="characters that nothing closes"),
        pytest.param("a", "\"it's 'x y'\"", ["\"it's 'x y'\""], id="apostrophes within strings"),
        pytest.param("a, b", "don't, x", ["don116", "x"], id="apostrophes within words"),
    ],
)
def test_arguments_in_alternate_mode(parameters: str, call: str, expected: list[str]) -> None:
    assert bind(parameters, call, alternate_mode()) == expected


@pytest.mark.parametrize(
    ("function", "text", "fault", "message"),
    [
        (parse_heading, " ", "", "a macro needs a name"),
        (parse_heading, "1m", "", "a macro needs a name"),
        (parse_heading, "m(a, b)", "(a, b)", "expected the name of a parameter"),
        (parse_heading, "m a, +", "+", "expected the name of a parameter"),
        (parse_heading, "m a b ,", ",", "expected a parameter after the comma"),
        (parse_heading, "m ,", ",", "expected a parameter after the comma"),
        (parse_heading, "m a, b, a, c", "a", "macro `m` has two parameters `a`"),
        (parse_heading, "m a:all", "a:all", "a parameter may be `:req` or `:vararg`, not `:all`"),
        (parse_heading, "m a :", "a :", "a parameter may be `:req` or `:vararg`, not `:`"),
        (parse_heading, "m a:vararg, b", ",", "`a:vararg` must be the last parameter"),
        (parse_heading, 'm a="x', '"x', 'the string has no closing `"`'),
        (parse_irp, "", "", ".irp needs the name of a parameter"),
        (parse_irp, "1, 2", "", ".irp needs the name of a parameter"),
        (parse_irp, 'x, 1, "y', '"y', 'the string has no closing `"`'),
        (parse_irpc, '"x"', "", ".irpc needs the name of a parameter"),
        (parse_irpc, 'x, "p q" r', '"p q" r', "the quotes must be about the whole text, and none within it"),
        (parse_irpc, 'x, p"q"', 'p"q"', "the quotes must be about the whole text, and none within it"),
        (parse_irpc, 'x, "', '"', "the quotes must be about the whole text, and none within it"),
    ],
)
def test_what_is_no_heading(function: Callable[[str], object], text: str, fault: str, message: str) -> None:
    with pytest.raises(MacroError) as caught:
        function(text)
    assert str(caught.value) == message
    assert text[caught.value.start : caught.value.end] == fault


@pytest.mark.parametrize(
    ("parameters", "call", "fault", "message"),
    [
        ("", " 1 + 2, 3", "1 + 2", "macro `m` takes 0 arguments, not more"),
        ("a, b", "1, 'x', 'z' + 'y'", "'z' + 'y'", "macro `m` takes 2 arguments, not more"),
        ("", "'y, 3", "'y", "macro `m` takes 0 arguments, not more"),
        ("a", "1,  c  = 5", "c  =", "macro `m` has no parameter `c`"),
        ("a, b", "b=1, x  + y ", "x  + y", "an argument without a name after one with a name, `b=`"),
        ("a:req, b:req", "1", None, "macro `m` needs a value for its parameter `b`"),
        ("a:req", '""', None, "macro `m` needs a value for its parameter `a`"),
        ("a", ' "x ', '"x ', 'the string has no closing `"`'),
        ("a", r'"x\"', r'"x\"', 'the string has no closing `"`'),
        ("a", 'x"y z', '"y z', 'the string has no closing `"`'),
    ],
)
def test_arguments_that_do_not_suit(parameters: str, call: str, fault: str | None, message: str) -> None:
    with pytest.raises(MacroError) as caught:
        bind(parameters, call)
    assert str(caught.value) == message
    start, end = caught.value.start, caught.value.end
    assert fault == (None if start is None else call[start:end])


@pytest.mark.parametrize(
    ("call", "fault", "message"),
    [
        ("1, %", "%", "`%` needs an expression after it"),
        ("% , 1", "%", "`%` needs an expression after it"),
        (" <x + <y>", "<x + <y>", "the `<` has no closing `>`"),
        ("<x!>", "<x!>", "the `<` has no closing `>`"),
        ("'x y', 2, 'z y' ", "'z y'", "macro `m` takes 2 arguments, not more"),
    ],
)
def test_arguments_that_do_not_suit_in_alternate_mode(call: str, fault: str, message: str) -> None:
    with pytest.raises(MacroError) as caught:
        bind("a, b", call, alternate_mode())
    assert str(caught.value) == message
    assert call[caught.value.start : caught.value.end] == fault


def test_what_evaluation_raises_goes_to_the_caller() -> None:
    def evaluate(expression: str) -> int:
        raise KeyError(expression)

    with pytest.raises(KeyError, match=r"x\+1"):
        bind("a", "%x + 1", AlternateMode(evaluate, str))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (r"\a\()x \ab \(\a) \a'x' '\a' '\a", r"1x 2 \a 1'x' '\a' '\a"),
        (r'"\a \a' + r"'x \n' \"\ab\" \\a" + '"', r'"1 1x \n' + r"' \"2\" \1" + '"'),
        (r"&a&ab &ab &a& &&a \&a &c& 3&1 \a && \ab", r"1ab 2 1 &&a \&a &c& 3&1 1 && 2"),
        (r"x\@: \+", "x7: 3"),
        ("LOCAL x\nx a", "LOCAL x\nx a"),
    ],
)
def test_bodies(body: str, expected: str) -> None:
    assert expand(define("m a, ab", body), {"a": "1", "ab": "2"}, executed=7, calls=3) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a ab abc a.b 0a 'a' \"a a's\" \\a", "1 2 abc a.b 01 'a' \"1 1s\" 1"),
        ("a&ab a&3 x&a q&3", "12 13 x1 q&3"),
        ("x\nLOCAL x, y\nx y \\x &y& \"x\"\nlocal z;x z", "x\n\nL1 L2 L1 L2 \"L1\"\n;L1 L3"),
    ],
)  # fmt: skip
def test_bodies_in_alternate_mode(body: str, expected: str) -> None:
    numbers = itertools.count(1)
    mode = AlternateMode(value, lambda: f"L{next(numbers)}")
    arguments = {"a": "1", "ab": "2"}
    assert expand(define("m a, ab", body), arguments, executed=0, calls=0, alternate=mode) == expected


def test_every_call_has_local_symbols_of_its_own() -> None:
    mode = alternate_mode()
    macro = define("m", "LOCAL x\nx")
    assert expand(macro, {}, 0, 0, mode) == "\n.LL0001"
    assert expand(macro, {}, 1, 1, mode) == "\n.LL0002"
    assert expand(macro, {}, 2, 2) == "LOCAL x\nx"


@pytest.mark.parametrize(
    ("body", "fault", "message"),
    [
        ("a\nb \\(a\n)", "\\(a", r"`\(` has no closing `)` in its line"),
        ('.ascii "\\("\n)', '\\("', r"`\(` has no closing `)` in its line"),
        ("x: LOCAL y, 1z\n", "LOCAL y, 1z", "LOCAL needs names of symbols, not `1z`"),
        ("LOCAL y,, z\n", "LOCAL y,, z", "LOCAL needs names of symbols, not ``"),
        ("LOCAL y a\n", "LOCAL y a", "`a` is already a parameter or a LOCAL symbol"),
        ("LOCAL y\nLOCAL y\n", "LOCAL y", "`y` is already a parameter or a LOCAL symbol"),
    ],
)
def test_bodies_at_fault(body: str, fault: str, message: str) -> None:
    with pytest.raises(MacroError) as caught:
        expand(define("m a", body), {"a": "1"}, 0, 0, alternate_mode())
    assert str(caught.value) == message
    assert body[caught.value.start : caught.value.end] == fault


def test_a_loop_at_fault_is_reported_at_once() -> None:
    with pytest.raises(MacroError):
        expand_loop("\\(", "x", ["1"], 0)


def test_loops_count_what_they_did() -> None:
    assert list(expand_loop(r"\x \+ \@;", *parse_irp("x, 5, 6"), 3)) == ["5 0 3;", "6 1 3;"]
    assert list(expand_loop(r"\x\+;", *parse_irpc("x, 56"), 3)) == ["50;", "61;"]
    assert list(expand_repetition(r"\+ \@ \x;", 2)) == [r"0 \@ \x;", r"1 \@ \x;"]
    assert list(expand_repetition(r"\@;", 2)) == [r"\@;", r"\@;"]


def test_many_repetitions_are_not_kept_at_once() -> None:
    assert next(expand_repetition("x", 1 << 60)) == "x"
    assert next(expand_repetition(r"\+", 1 << 60)) == "0"


@pytest.mark.parametrize(
    ("opener", "text", "expected"),
    [
        (".macro", "x\n.endm\n.endm", ".endm"),
        (".macro", "x; .endmacro foo ; y", ".endmacro foo"),
        (".macro", "x`a: b: .EndM` y", ".EndM"),
        (".macro", ".macro y; .endm; .macro z\n .endmacro\n.endm 1", ".endm 1"),
        (".macro", "a\\@: .macro y\n.endm 1\n.endm 2", ".endm 2"),
        (".macro", "1: .macro y\n.endm 1\n.endm 2", ".endm 2"),
        (".macro", ".endmx\n.endm.x\nx .endm\nx.endm\n. endm\n.endm 2", ".endm 2"),
        (".macro", ".ascii \";.endm\"\n.byte ';, '.endm\n.endm 2", ".endm 2"),
        (".macro", ".rept\n.endr\n.endm 2", ".endm 2"),
        (".rept", ".endm\n.irp x\n.irpc y\n.rep 2\n.endr\n.endr\n.endr\n.endr 2", ".endr 2"),
        (".irp", ".repts\n.rept.\n.endr 2", ".endr 2"),
        (".irpc", "x: .endr", ".endr"),
        (".macro", "", None),
        (".macro", "x\n", None),
        (".macro", ".endr\n.macro x\n.endm\n", None),
    ],
)  # fmt: skip
def test_ends_of_blocks(opener: str, text: str, expected: str | None) -> None:
    place = find_block_end(text, 0, len(text), opener)
    assert expected == (place and text[slice(*place)])


def test_the_end_of_a_block_is_looked_for_between_start_and_end() -> None:
    text = ".endm\n.macro x\n.endm\n.endm"
    assert find_block_end(text, 14, len(text), ".macro") == (15, 20)
    assert find_block_end(text, 14, 20, ".macro") == (15, 20)
    assert find_block_end(text, 14, 19, ".macro") is None
    assert find_block_end(text, 0, 3, ".macro") is None
    assert find_block_end(".macro x; .endm", 8, 15, ".macro") == (10, 15)


_separators = st.sampled_from(["\n", " ; ", "`", "\n\n\t"])
_statements = st.sampled_from(
    [".byte 1", "p: ", '.ascii ".endr;.endm"', ".byte '\"'", "x .endr", ".endrs", ".byte ';'", '.ascii "\\".rept"']
)


def _blocks(bodies: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    heads = st.sampled_from([".rept 2", ".irp x,1", "p: .IRPC x, 12", "\tp\\x\\(): q:.rep 1"])
    ends = st.sampled_from([".endr", " .ENDR", "p: .endr foo"])
    return st.builds("".join, st.tuples(heads, _separators, bodies, _separators, ends))


_bodies = st.recursive(
    _statements,
    lambda bodies: _blocks(bodies) | st.builds("".join, st.tuples(bodies, _separators, bodies)),
    max_leaves=30,
)


@given(_bodies, _separators, _separators, _bodies)
def test_the_end_of_any_block(body: str, before: str, between: str, after: str) -> None:
    text = f"{before}{body}{between}.endr{before}{after}"
    end = len(f"{before}{body}{between}.endr")
    assert find_block_end(text, 0, len(text), ".rept") == (end - len(".endr"), end)


_pieces = [
    *"abmx12,=:()[]<>!%&\\\"'+-;\té\ud800\x00 ",
    *("  ", '"x"', "'x'", "\\a", "\\(", "\\@", "&a", ":req", ":vararg", "LOCAL ", "<x>", "\\'", '\\"', "a="),
]  # fmt: skip
_texts = st.lists(st.sampled_from(_pieces), max_size=12).map("".join) | st.text(max_size=12)
_modes = st.sampled_from([None, AlternateMode(len, lambda: "L")])


def _attempt(function: Callable[[], object], text: str) -> None:
    """Call the function; it may raise MacroError, whose place lies in the text."""
    start = end = None
    try:
        function()
    except MacroError as error:
        start, end = error.start, error.end
    if start is not None:
        assert end is not None
        assert 0 <= start <= end <= len(text)


@given(_texts, _modes)
def test_any_heading(text: str, mode: AlternateMode | None) -> None:
    _attempt(lambda: parse_heading(text, mode), text)
    _attempt(lambda: parse_heading(f"m {text}", mode), f"m {text}")
    _attempt(lambda: parse_irp(f"x {text}", mode), f"x {text}")
    _attempt(lambda: parse_irpc(f"x {text}"), f"x {text}")


@given(st.sampled_from(["a, b", "a:req, b:vararg", "a=1", ""]), _texts, _modes)
def test_any_call(parameters: str, text: str, mode: AlternateMode | None) -> None:
    _attempt(lambda: bind(parameters, text, mode), text)


@given(st.lists(_texts, max_size=6).map("\n".join), _modes)
def test_any_body_keeps_its_lines(body: str, mode: AlternateMode | None) -> None:
    def check() -> None:
        text = expand(define("m a, b", body), {"a": "1", "b": '"x y"'}, 1, 2, mode)
        assert text.count("\n") == body.count("\n")

    _attempt(check, body)


_words = st.from_regex(r"[\w.$]+", fullmatch=True)
_arguments = _words | st.builds("({} {})".format, _words, _words)


@given(st.lists(_arguments, max_size=5), st.sampled_from([", ", " ,", ",", "\t,  "]))
def test_any_arguments_come_through(arguments: list[str], comma: str) -> None:
    parameters = ", ".join(f"p{number}" for number in range(len(arguments)))
    assert bind(parameters, comma.join(arguments)) == arguments
