"""What the verifier's log says of a program's source: the line at fault, what registers held, and the way there.

The log itself stays whole; this is what is told in front of it. Numbers that stand for what the kernel lacks
(poisoned instructions) are put into words. Source: libbpf 1.8.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.instructions import ABSENT_CALL, ABSENT_MAP, POISON
from bpfas.loader.privilege import Explanation, read_situation
from bpfas.loader.verifier.log import STATISTICS, read_log
from bpfas.loader.verifier.remedies import NO_SUCH_HELPER, remedy_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.loader.loading.plan import Plan, ProgramPlan
    from bpfas.loader.spec import ProgramSpec
    from bpfas.loader.verifier.log import Step

_LINE_WORDS = 4
_MAX_STEPS = 16
"""How many lines of the way are shown, the last ones."""

_REGISTER = re.compile(r"\b[rw](\d+)\b")


class SourceLine(NamedTuple):
    """A place in a source: its file, the line's number and its text, empty if that is not known."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        return f"{where}: {self.text}" if self.text else where


@dataclass(frozen=True, slots=True)
class VerifierReport:
    """What is wrong, and where.

    `instruction` counts slots from the program's start, None where the log does not tell. `registers` are those
    that the instruction there uses, `path` the lines of the source on the way, the last one being at fault.
    `reason` is what the kernel itself explains, since Linux 7.3.
    """

    explanation: Explanation
    instruction: int | None = None
    text: str = ""
    function: str = ""
    source: SourceLine | None = None
    registers: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    reason: str = ""

    def lines(self) -> list[str]:
        """The report as lines of text."""
        if self.instruction is None:
            return []
        inside = f" of {self.function}" if self.function else ""
        lines = [f"at instruction {self.instruction}{inside}: {self.text}"]
        if self.source:
            lines.append(f"which is {self.source}")
        if self.registers:
            lines.append(f"where {', '.join(f'{name} is {value}' for name, value in self.registers.items())}")
        if self.reason:
            lines.append(f"the kernel's reason: {self.reason}")
        # Without lines of source, the way is what the log shows anyhow.
        if self.source and len(self.path) > 1:
            lines.append("the way there:\n" + "\n".join(f"  {step}" for step in self.path))
        return lines


def report_on(log: str, program: ProgramPlan | None = None, plan: Plan | None = None) -> VerifierReport:
    """What `log` says of the program that was refused; without the program, what it says by itself."""
    read = read_log(log)
    # Of an unknown form the last line is still the best guess.
    words = "; ".join(read.words) or read.explanation.problem or _last_line(log)
    verdict = read.words[-1] if read.words else words
    last = read.last
    explanation = program and plan and _absent(verdict, last, program, plan)
    explanation = explanation or _of_words(words, verdict, read.explanation.suggestion)
    if last is None:
        return VerifierReport(explanation)
    lines = _SourceLines(program.spec if program else None, plan.image.types if plan else None)
    return VerifierReport(
        explanation,
        last.index,
        last.text,
        lines.function(last.index),
        lines.at(last.index),
        _used_registers(last),
        tuple(_way(read.path, frozenset(read.branches), lines)),
        read.explanation.reason,
    )


def _of_words(words: str, verdict: str, suggestion: str) -> Explanation:
    said = f"the verifier says: {words}" if words else "the verifier refused it"
    return Explanation(said, remedy_for(verdict, words, read_situation(), suggestion))


def _absent(words: str, last: Step | None, program: ProgramPlan, plan: Plan) -> Explanation | None:
    """Of words that refuse a number that stands for what there is not: what that is."""
    match = NO_SUCH_HELPER.fullmatch(words)
    if not match:
        return None
    number = int(match[1])
    externs, maps = plan.image.numbered_externs, list(plan.image.maps)
    if number == POISON and last is not None:
        # The second half of a load is poisoned as well.
        found = program.poisoned.get(last.index) or program.poisoned.get(last.index - 1)
        return Explanation(
            f"the program needs what this kernel lacks: {found or 'the target of a CO-RE relocation'}",
            "test that it is there before: bpf_core_field_exists(), bpf_core_type_exists(), …",
        )
    if 0 <= number - ABSENT_CALL < len(externs):
        name = externs[number - ABSENT_CALL]
        return Explanation(
            f"the program calls '{name}', a weak function that nothing defines",
            f"test that it is there before the call, as in `if ({name})`; or give the object that defines it: "
            "bpf-load --with OTHER.o; or a kernel that has it",
        )
    if 0 <= number - ABSENT_MAP < len(maps):
        name = maps[number - ABSENT_MAP]
        return Explanation(
            f"the program uses map '{name}', which was not created",
            "have it created (autocreate), or keep the program from getting there",
        )
    return None


def _used_registers(step: Step) -> dict[str, str]:
    """What was known of the registers in the text of an instruction; of a call, of its arguments."""
    numbers = [f"R{number}" for number in _REGISTER.findall(step.text)]
    if step.text.startswith("call"):
        numbers = [f"R{number}" for number in range(1, 6)]
    return {name: step.before[name] for name in dict.fromkeys(numbers) if name in step.before}


def _way(path: Sequence[Step], branches: frozenset[tuple[int, int]], lines: _SourceLines) -> Iterator[str]:
    """The lines of source on the way, the last of them, each once while the program stays in it."""
    shown: list[str] = []
    for step, following in zip(path, [*path[1:], None], strict=True):
        line = lines.at(step.index)
        text = str(line) if line else f"{step.index}: {step.text}"
        if not shown or shown[-1] != text:
            shown.append(text)
        if following and (step.index, following.index) in branches:
            shown[-1] = f"{text}  (jump at {step.index} to {following.index} taken)"
    if len(shown) > _MAX_STEPS:
        yield f"… ({len(shown) - _MAX_STEPS} lines before)"
    yield from shown[-_MAX_STEPS:]


class _SourceLines:
    """Which line and function each instruction of a program is of."""

    def __init__(self, spec: ProgramSpec | None, types: Btf | None) -> None:
        self._spec = spec
        self._types = types

    def at(self, index: int) -> SourceLine | None:
        """The source's line, by the object's line information or else its debug information."""
        if self._spec is None:
            return None
        words, types = self._spec.line_info, self._types
        # The last record whose first word, the instruction, is not behind this one.
        record = bisect_right(range(0, len(words), _LINE_WORDS), index, key=lambda at: words[at]) - 1
        if types is not None and record >= 0:
            _, file, text, place = words[record * _LINE_WORDS : (record + 1) * _LINE_WORDS]
            return SourceLine(types.string(file), place >> 10, types.string(text).strip())
        part = self._spec.part(index)
        found = part and part.line(index)
        return SourceLine(found[0], found[1], _text_of(*found)) if found else None

    def function(self, index: int) -> str:
        """The function's name; empty if it is the program itself."""
        part = self._spec.part(index) if self._spec else None
        return part.name if part and part.instruction else ""


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith(STATISTICS)), "")


def _text_of(file: str, line: int) -> str:
    """A line of a source that lies where the object says; empty if it does not."""
    try:
        with open(file, encoding="utf-8", errors="replace") as source:
            return next(islice(source, line - 1, None), "").strip()
    except (OSError, ValueError):
        return ""
