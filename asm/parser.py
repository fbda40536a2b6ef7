"""Statement text to template: by Lark, and for texts of a known shape without it.

`parse_plain` is the reference: Lark parses the text, and the tree becomes a template. `StatementParser` keeps the
templates by shape, so that Lark sees every shape once; a statement whose slots Lark sees otherwise than
`bpfas.asm.shape` does (a symbol called `exit`, say) is parsed plainly every time, and plain lists need no Lark at
all (`bpfas.asm.list_template`). `bpfas.asm.template_cache` keeps templates from one run to the next. What
statements mean is `bpfas.asm.assembler`'s part.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from bpfas.asm.kernel_text import prefix_opcode, why_not_assembled
from bpfas.asm.list_template import list_template
from bpfas.asm.shape import SLOT_MARK, split_shape
from bpfas.asm.statement import (
    Argument,
    Assignment,
    Binary,
    ByteInString,
    Constant,
    Directive,
    Expression,
    Float,
    HelperCall,
    InstructionStatement,
    Label,
    LocalReference,
    MapReference,
    Number,
    Omitted,
    Operand,
    Register,
    SectionName,
    Statement,
    String,
    SymbolName,
    Template,
    TypeName,
    Unary,
)
from bpfas.diag import BpfasError, Source, Span
from bpfas.grammar import parse_statement

if TYPE_CHECKING:
    from lark import Token
    from lark.exceptions import UnexpectedInput
    from lark.tree import Tree

    from bpfas.asm.template_cache import TemplateCache

    Branch = Token | Tree[Token]

DEEPEST_NESTING = 200
"""Levels of operators and parentheses that an expression may have; what walks over it recurses."""

_FRAME_POINTER = 10
_FORM_LETTERS = {"displacement": "O", "no_displacement": "O", "map_reference": "M", "helper_call": "H"}
_ASSIGNMENT_DIRECTIVES = {"lazy_assignment": ".eqv", "quoted_assignment": ".set"}
"""Assignments that say what a directive says."""


class _TemplateBuilder:
    """Turns one parse tree into a template, numbering the slots in the order of the text."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.positions: list[tuple[int, int]] = []

    def template(self, tree: Tree[Token]) -> Template:
        labels: list[Label] = []
        body: Assignment | Directive | InstructionStatement | None = None
        opcode: int | None = None
        for child in tree.children:
            if isinstance(child, str):
                if child.type == "KERNEL_PREFIX":
                    opcode = prefix_opcode(child)
                elif child.type != "COLON":
                    labels.append(Label(self._slot(child), child.type == "LOCAL_LABEL"))
            elif child.data == "assignment":
                name, _, value = child.children
                body = Assignment(self._slot(name), self._expression(value))
            elif child.data in _ASSIGNMENT_DIRECTIVES:
                name, _, value = child.children
                is_quoted = isinstance(name, str) and name.type == "STRING"
                target = String(self._slot(name)) if is_quoted else SymbolName(self._slot(name))
                body = Directive(_ASSIGNMENT_DIRECTIVES[str(child.data)], (target, self._expression(value)))
            elif child.data == "directive":
                body = self._directive(child.children)
            else:
                body = self._instruction(child.children, opcode)
        return Template(tuple(labels), body)

    def _slot(self, token: Branch, start: int = 0, end: int | None = None) -> int:
        assert isinstance(token, str)
        assert token.start_pos is not None
        first, last, _ = slice(start, end).indices(len(token))
        self.texts.append(str(token[first:last]))
        self.positions.append((token.start_pos + first, token.start_pos + last))
        return len(self.texts) - 1

    def _directive(self, children: list[Branch]) -> Directive:
        arguments: list[Argument] = []
        adjacent: list[int] = []
        for before, child in itertools.pairwise(children):
            if not _is_comma(child):
                if arguments and not _is_comma(before):
                    adjacent.append(len(arguments))
                arguments.append(self._argument(child))
        return Directive(str(children[0]).lower(), tuple(arguments), frozenset(adjacent))

    def _argument(self, branch: Branch) -> Argument:
        if isinstance(branch, str):
            return SectionName(self._slot(branch))
        if branch.data == "byte_in_string":
            token = branch.children[0]
            number = str(token)[1:-1].strip()
            start = str(token).index(number)
            return ByteInString(self._slot(token, start, start + len(number)))
        first = branch.children[0] if branch.children else None
        if branch.data in ("symbol", "string") and isinstance(first, str) and first.type.startswith("STRING"):
            return String(self._slot(first))
        if branch.data == "omitted":
            return Omitted()
        if branch.data == "type_name":
            return TypeName(str(branch.children[0])[1:].lower())
        return self._expression(branch)

    def _instruction(self, children: list[Branch], opcode: int | None) -> InstructionStatement:
        form: list[str] = []
        operands: list[Operand] = []
        for child in children:
            if isinstance(child, str):
                form.append("".join(child.lower().split()))
                continue
            operand = self._operand(child)
            operands.append(operand)
            if child.data == "register":
                form.append("W" if "w" in str(child.children[0]).lower() else "R")
            else:
                form.append(_FORM_LETTERS.get(str(child.data), "I"))
        text = "".join(form).replace("pcO", "pcP")
        return InstructionStatement(text, form[0], tuple(operands), opcode)

    def _operand(self, tree: Tree[Token]) -> Operand:
        if tree.data == "register":
            token = tree.children[0]
            digits = str(token).lower().lstrip("%rw")
            return (
                Register(self._slot(token, -len(digits))) if digits.isdigit() else Register(None, _FRAME_POINTER)
            )
        if tree.data == "map_reference":
            return MapReference(self._slot(tree.children[2]))
        if tree.data == "helper_call":
            name, *_, number = tree.children
            return HelperCall(self._slot(name), self._slot(number), "-" in tree.children)
        return self._expression(tree)

    def _expression(self, branch: Branch, depth: int = 0) -> Expression:
        if depth > DEEPEST_NESTING:
            raise _NestingError
        assert not isinstance(branch, str)
        # A sum may have any number of terms; only what is really nested counts.
        rights: list[tuple[str, Branch]] = []
        while branch.data in ("binary", "displacement") and len(branch.children) == 3:
            left, operator, right = branch.children
            rights.append((str(operator), right))
            assert not isinstance(left, str)
            branch = left
        expression = self._operand_of_operators(branch, depth + 1)
        for sign, right in reversed(rights):
            expression = Binary(sign, expression, self._expression(right, depth + 1))
        return expression

    def _operand_of_operators(self, branch: Tree[Token], depth: int) -> Expression:
        children = branch.children
        match str(branch.data), children:
            case "number", [token]:
                return Number(self._slot(token))
            case "float", [token]:
                return Float(self._slot(token))
            case "symbol", [token]:
                if isinstance(token, str) and token.type == "LOCAL_REFERENCE":
                    if token[-1] == "$":
                        return LocalReference(self._slot(token), is_forward=False)
                    return LocalReference(self._slot(token, 0, -1), token[-1] in "fF")
                return SymbolName(self._slot(token))
            case "parenthesised", [_, inner, _]:
                return self._expression(inner, depth)
            case "no_displacement", []:
                return Constant(0)
            case "unary" | "displacement", [operator, operand]:
                return _signed(str(operator), self._expression(operand, depth))
        raise AssertionError(f"the grammar has an expression that the parser does not know: {branch.data}")


class _NestingError(Exception):
    """An expression is nested deeper than DEEPEST_NESTING."""


def _signed(operator: str, operand: Expression) -> Expression:
    return operand if operator == "+" else Unary(operator, operand)


def _is_comma(branch: Branch) -> bool:
    return isinstance(branch, str) and branch.type == "COMMA"


class ParsedText(NamedTuple):
    """What a plain parse of a statement's text gives: the template, its slots' texts, and their places."""

    template: Template
    texts: list[str]
    positions: tuple[tuple[int, int], ...]


def parse_plain(text: str) -> ParsedText:
    """Parse one statement with Lark.

    Raises lark.exceptions.UnexpectedInput where the text is no statement.
    """
    builder = _TemplateBuilder()
    template = builder.template(parse_statement(text))
    return ParsedText(template, builder.texts, tuple(builder.positions))


class StatementParser:
    """Parses statements, each shape once, or never if `cache` has it. `plainly` switches the use of shapes off."""

    def __init__(self, cache: TemplateCache | None = None, *, plainly: bool = False) -> None:
        self._templates: dict[str, Template] = {}
        self._cache = cache
        self._plainly = plainly

    def parse(self, text: str, source: Source, start: int) -> Statement:
        """The statement `text`, which stands, but for its comments, at `start` of `source`.

        Raises BpfasError where it is none.
        """
        has_shape = not self._plainly and SLOT_MARK not in text
        if has_shape:
            shape, texts = split_shape(text)
            template = self._templates.get(shape) or list_template(shape)
            if template is None and self._cache is not None:
                template = self._cache.get(shape)
            if template is not None:
                self._templates[shape] = template
                return Statement(template, texts, source, start, text)
        parsed = self._parse_new(text, source, start)
        if has_shape and parsed.texts == texts:
            self._templates[shape] = parsed.template
            if self._cache is not None:
                self._cache.add(shape, parsed.template)
        return Statement(parsed.template, parsed.texts, source, start, text, parsed.positions)

    def _parse_new(self, text: str, source: Source, start: int) -> ParsedText:
        from lark.exceptions import UnexpectedInput

        try:
            return parse_plain(text)
        except UnexpectedInput as error:
            message, at, length = why_not_assembled(text) or _explain(error, text)
            raise BpfasError.of(message, Span(source, start + at, start + at + length)) from error
        except _NestingError:
            raise BpfasError.of(
                f"the expression is nested more than {DEEPEST_NESTING} levels deep",
                Span(source, start, start + len(text)),
            ) from None


def _printable(text: str) -> str:
    """`text` for a message: a terminal shows every character, and none of them commands it."""
    return text if text.isprintable() else ascii(str(text))[1:-1]


REGISTER = re.compile(r"%?(?:[rw][0-9]+|fp)(?![\w.$])", re.IGNORECASE)
"""A name that is a register's."""

_WORD_WITH_DIGIT = re.compile(r"(?<![\w.$])[0-9][\w.$]*")


def malformed_number(text: str, at: int) -> str | None:
    """The word around `at` that begins before it with a digit, such as `0b12`; None where there is none."""
    start = at
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] in "_.$"):
        start -= 1
    word = _WORD_WITH_DIGIT.match(text, start) if start < at else None
    return word[0] if word is not None and word.end() > at else None


_EXPECTATIONS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "REGISTER": "a register",
    "COMMA": "`,`",
    "EQUAL": "`=`",
    "RPAR": "`)`",
    "LPAR": "`(`",
    "RSQB": "`]`",
    "LSQB": "`[`",
    "GOTO": "`goto`",
    "LL": "`ll`",
    "COMPARISON": "a comparison",
    "ALU_ASSIGN": "an assignment such as `+=`",
    "$END": "the end of the statement",
}


def _explain(error: UnexpectedInput, text: str) -> tuple[str, int, int]:
    """What is wrong with a statement, in words, and the place and length of what is."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    is_at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    register = None if is_at_end else REGISTER.match(text, error.pos_in_stream or 0)
    if register and "REGISTER" not in (getattr(error, "accepts", None) or ()):
        return f"the register `{register[0]}` cannot stand in an expression", register.start(), len(register[0])

    if number := malformed_number(text, error.pos_in_stream or 0):
        return f"`{_printable(number)}` is no number", error.pos_in_stream or 0, 1

    position, length, found = error.pos_in_stream or 0, 1, "end of the statement"
    accepted: set[str] = set()
    if isinstance(error, UnexpectedToken):
        accepted = error.accepts or error.expected
        if not is_at_end:
            length, found = len(error.token), f"`{_printable(error.token)}`"
        else:
            position = len(text.rstrip())
    elif isinstance(error, UnexpectedCharacters):
        accepted = error.allowed or set()
        found = f"`{_printable(text[position])}`"
        if text[position] == '"':
            return "the string has no closing quote", position, len(text) - position
    expected = [words for name, words in _EXPECTATIONS.items() if name in accepted]
    message = f"unexpected {found}"
    if expected:
        message += (
            f"; expected {' or '.join([', '.join(expected[:-1]), expected[-1]] if expected[1:] else expected)}"
        )
    return message, position or 0, length
