"""Instruction statements to bytes: which row of the table a form is, and where its operands go.

Operands that are numbers are checked and encoded at once; an operand with a symbol leaves a fixup. The rows and
their forms are bpfas.isa's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bpfas.asm.expression import Binder, Bound, ExpressionError, parse_number
from bpfas.asm.fixup import CALL, IMM32, JUMP16, JUMP32, LOAD64, MAP, OFF16, Fixup, FixupKind
from bpfas.asm.kernel_text import NotAssembledError, helper_number, why_not_assembled
from bpfas.asm.shape import RESERVED_WORDS
from bpfas.asm.statement import (
    Constant,
    HelperCall,
    InstructionStatement,
    MapReference,
    Node,
    Number,
    Register,
    Statement,
)
from bpfas.asm.strings import name_text
from bpfas.isa import (
    BY_NAME,
    OPCODES,
    OPERAND_KINDS,
    Dialect,
    FormOperand,
    Instruction,
    IsaVersion,
    Opcode,
    encode,
    template_form,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.elf.constants import ByteOrder


class Candidate(NamedTuple):
    """A row whose text has a certain form, with what its operands are, in the order of the text."""

    row: Opcode
    operands: tuple[FormOperand, ...]
    dialects: frozenset[Dialect]


def _candidates_by_form() -> dict[str, tuple[Candidate, ...]]:
    candidates: dict[str, list[Candidate]] = {}
    for row in OPCODES:
        texts: dict[tuple[str, tuple[FormOperand, ...]], set[Dialect]] = {}
        for dialect in Dialect:
            if template := row.template(dialect):
                texts.setdefault(template_form(template), set()).add(dialect)
        for (form, operands), dialects in texts.items():
            candidates.setdefault(form, []).append(Candidate(row, operands, frozenset(dialects)))
    # The kernel's spellings come last: without an opcode before it, a text is what it is in the two dialects.
    for row in OPCODES:
        if row.kernel:
            form, operands = template_form(row.kernel)
            candidates.setdefault(form, []).append(Candidate(row, operands, frozenset((Dialect.PSEUDOC,))))
    return {form: tuple(rows) for form, rows in candidates.items()}


CANDIDATES: dict[str, tuple[Candidate, ...]] = _candidates_by_form()
"""The rows by form. Rows of one form differ in literal operands: `endle %r1, 16`, `endle %r1, 32`; or, where the
kernel writes them so, in the opcode before them: `(b7) r1 = 5`, `(18) r1 = 0x5`."""

_SYMBOL_FIXUPS: dict[str, FixupKind] = {
    "disp16": JUMP16,
    "disp32": JUMP32,
    "imm": IMM32,
    "immoff": IMM32,
    "imm64": LOAD64,
    "map": MAP,
    "off": OFF16,
}
"""What an operand that has a symbol waits for; the operands that are not here must be numbers."""


class OperandError(ValueError):
    """An operand that its instruction cannot have; `node` is the operand."""

    def __init__(self, message: str, node: Node | None = None) -> None:
        super().__init__(message)
        self.node = node


@dataclass(frozen=True, eq=False, slots=True)
class Encoder:
    """Encodes instruction statements of one assembly."""

    binder: Binder
    order: ByteOrder
    dialect: Dialect | None = None
    isa: IsaVersion = IsaVersion.XBPF

    def encode(self, statement: Statement, body: InstructionStatement) -> tuple[bytes, list[Fixup]]:
        """The bytes of the instruction, and the fixups for the end of the binder's section.

        Raises OperandError or ExpressionError, whose node tells the operand at fault.
        """
        candidate = self.choose(statement, body)
        row = candidate.row
        values: dict[str, int] = {}
        written: dict[str, Node] = {}
        fixups: list[Fixup] = []
        offset, after = self.binder.subsection.place
        for node, operand in zip(body.operands, candidate.operands, strict=True):
            if operand.name is None:
                continue
            bound = self._bind(node, statement)
            kind = OPERAND_KINDS[operand.name]
            if isinstance(bound, int):
                value = self._checked(bound, operand.name, row, node)
            else:
                row, fixup_kind = symbolic_row(row, operand.name, node)
                fixups.append(Fixup(fixup_kind, offset, bound, statement, node, after))
                value = 0
            if values.setdefault(kind.field, value) != value:
                raise OperandError(
                    f"{_register_text(written[kind.field], statement)} and {_register_text(node, statement)} "
                    "must be the same register: this instruction has only one for both",
                    node,
                )
            written[kind.field] = node
        high = values.pop("imm_high", 0)
        values["imm"] = values.get("imm", 0) | high << 16 | values.pop("imm_low", 0)
        return encode(Instruction(row, **values), self.order), fixups

    def choose(self, statement: Statement, body: InstructionStatement) -> Candidate:
        """The row that the statement is, by its form, its literal operands and its opcode if it gives one.

        Raises OperandError.
        """
        rows = CANDIDATES.get(body.form)
        if rows is None:
            raise OperandError(_why_no_row(body), _first_odd_operand(body))
        opcodes: list[int] = []
        for candidate in rows:
            if all(
                operand.literal is None or operand.literal == _literal(node, statement)
                for node, operand in zip(body.operands, candidate.operands, strict=True)
            ):
                if body.opcode not in (None, candidate.row.code):
                    opcodes.append(candidate.row.code)
                    continue
                self._check_allowed(candidate)
                return candidate
        if opcodes:
            own = " or ".join(f"({opcode:02x})" for opcode in dict.fromkeys(opcodes))
            raise OperandError(f"the opcode of this instruction is {own}, not ({body.opcode:02x})")
        raise OperandError(*_why_no_literal(rows, body, statement))

    def _check_allowed(self, candidate: Candidate) -> None:
        if self.dialect is not None and self.dialect not in candidate.dialects:
            raise OperandError(f"-mdialect={self.dialect.value} excludes this way to write the instruction")
        if candidate.row.isa > self.isa:
            isa = candidate.row.isa
            since = "after ISA v4" if isa is IsaVersion.LATEST else f"with ISA {isa.spelling}"
            text = _shown(candidate.row.normal or candidate.row.pseudoc)
            raise OperandError(f"{text} came {since}; -misa-spec={self.isa.spelling} excludes it")

    def _bind(self, node: Node, statement: Statement) -> Bound:
        match node:
            case Register():
                return _register_number(node, statement)
            case MapReference(slot):
                return self.binder.symbols.named(name_text(statement.texts[slot]))
            case HelperCall():
                return _called_helper(node, statement)
        return self.binder.bind(node, statement)  # type: ignore[arg-type]

    def _checked(self, value: int, name: str, row: Opcode, node: Node) -> int:
        kind = OPERAND_KINDS[name]
        if kind.accepts(value):
            return kind.wrap(value)
        if kind.form in "RW":
            letter = kind.form.lower()
            raise OperandError(
                f"there is no register {letter}{value}; they are {letter}0 to {letter}{kind.high}", node
            )
        high = max(kind.high, kind.unsigned_high)
        advice = ""
        if name == "imm" and row.name in ("mov_imm",):
            advice = "; `lddw` (`ldimm64`, `rN = … ll`) loads 64 bits"
        elif name in ("disp16", "jump16") and row.name == "ja":
            advice = "; `jal` (`gotol`) has 32 bits"
        raise OperandError(f"{_WORDS.get(name, name)} {value} is out of range {kind.low} to {high}{advice}", node)


_WORDS = {
    "imm": "immediate",
    "imm64": "immediate",
    "off": "offset",
    "immoff": "offset",
    "disp16": "jump offset",
    "disp32": "jump offset",
    "jump16": "jump offset",
    "jump32": "jump offset",
    "pcrel": "call offset",
    "pseudo": "kind of the pseudo load",
    "index": "descriptor index",
    "dst_as": "address space",
    "src_as": "address space",
}


def symbolic_row(row: Opcode, name: str, node: Node) -> tuple[Opcode, FixupKind]:
    """The row and the fixup of an instruction whose operand `name` has a symbol."""
    if row.name == "call":
        return BY_NAME["call_pseudo"], CALL
    kind = _SYMBOL_FIXUPS.get(name)
    if kind is None:
        raise OperandError(f"the {_WORDS.get(name, name)} must be a number that is known here", node)
    return row, kind


_LONGEST_REGISTER_NUMBER = 20


def _register_number(node: Register, statement: Statement) -> int:
    """The register's number. Raises OperandError for one with so many digits that it cannot be meant."""
    if node.slot is None:
        return node.number
    text = statement.texts[node.slot]
    if len(text) > _LONGEST_REGISTER_NUMBER:
        raise OperandError(f"there is no register with a number of {len(text)} digits", node)
    return int(text)


def _called_helper(node: HelperCall, statement: Statement) -> int:
    """The number of the helper that is called. Raises OperandError where the text does not tell it."""
    number = parse_number(statement.texts[node.number_slot])
    try:
        return helper_number(statement.texts[node.slot], -number if node.is_negative else number)
    except NotAssembledError as error:
        raise OperandError(str(error), node) from error


def _literal(node: Node, statement: Statement) -> int | None:
    """The number that an operand shows, for comparison with a row's literal; None if it is none."""
    match node:
        case Register():
            return _register_number(node, statement)
        case Constant(value):
            return value
        case Number(slot):
            try:
                return parse_number(statement.texts[slot])
            except ExpressionError:
                return None
    return None


def _register_text(node: Node, statement: Statement) -> str:
    if isinstance(node, Register):
        return f"`r{node.number if node.slot is None else statement.texts[node.slot]}`"
    return "another one"


MNEMONICS: dict[str, list[Opcode]] = {}
"""The rows by the first word of their normal text."""
for _row in OPCODES:
    if _row.normal:
        MNEMONICS.setdefault(_row.normal.split()[0], []).append(_row)


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean …?` with the word most like `word`, or nothing.

    That is one with nearly the same letters in the same order, or the same in another one, or one that it is the
    beginning of, or one that shares most letters.
    """
    import difflib  # for messages only

    known = list(words)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.9)
    close = close or [other for other in known if sorted(other) == sorted(word)]
    if not close and len(word) >= _SHORTEST_BEGINNING:
        close = sorted((other for other in known if other.startswith(word)), key=len)
    close = close or difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"; did you mean `{close[0]}`?" if close else ""


_SHORTEST_BEGINNING = 4
"""Characters from which on a word may be meant as the beginning of another one."""


def _why_no_row(body: InstructionStatement) -> str:
    if any(isinstance(operand, MapReference) for operand in body.operands):
        return (
            "%map(…) needs a 64-bit immediate load, whose immediate the kernel replaces by the map's address: "
            "write `ldimm64 %rN, %map(name)` or `rN = %map(name) ll`"
        )
    if why := why_not_assembled(body.mnemonic):
        return why[0]
    if body.mnemonic in MNEMONICS:
        forms = dict.fromkeys(_shown(row.normal) for row in MNEMONICS[body.mnemonic])
        return f"`{body.mnemonic}` does not take these operands; it is written {' or '.join(forms)}"
    if body.mnemonic in RESERVED_WORDS or not body.mnemonic[0].islower() or not body.mnemonic.isidentifier():
        return _why_no_pseudoc(body.form)
    return f"unknown instruction `{body.mnemonic}`{nearest(body.mnemonic, MNEMONICS)}"


def _why_no_pseudoc(form: str) -> str:
    """What is wrong with pseudo-C that no row has: where another width of register is needed, or in general."""
    for other in (form.replace("W", "R"), form.replace("R", "W"), form.replace("R=", "W=", 1)):
        if other != form and other in CANDIDATES:
            return f"a register has the wrong width; the instruction is {_shown(CANDIDATES[other][0].row.pseudoc)}"
    return "there is no instruction of this form"


def _shown(template: str) -> str:
    """A template as documentation shows it: `add dst, src`."""
    text = (
        template.replace("{dst}{off}", "dst+off")
        .replace("{src}{off}", "src+off")
        .replace("{map}", "%map(name)")
        .replace("{pcrel}", "+offset")
        .replace("{wdst}", "w_dst")
        .replace("{wsrc}", "w_src")
    )
    return f"`{text.replace('{', '').replace('}', '')}`"


def _first_odd_operand(body: InstructionStatement) -> Node | None:
    return next((operand for operand in body.operands if isinstance(operand, MapReference)), None)


def _why_no_literal(
    rows: tuple[Candidate, ...], body: InstructionStatement, statement: Statement
) -> tuple[str, Node | None]:
    """What the literal operands of a form may be, and the first operand that is none of it."""
    for position, node in enumerate(body.operands):
        allowed = sorted({literal for row in rows if (literal := row.operands[position].literal) is not None})
        if allowed and _literal(node, statement) not in allowed:
            letter = {"R": "r", "W": "w"}.get(_form_letter(body, position), "")
            numbers = " or ".join(f"{letter}{number}" for number in allowed)
            return f"this operand must be {numbers}", node
    return "no instruction has these operands", None


def _form_letter(body: InstructionStatement, position: int) -> str:
    return [char for char in body.form if char.isupper()][position]
