"""The verifier's log, read: the instructions it walked through, what it knew of registers, and what it said last.

The text is for people and changes from kernel to kernel, so only what stands in every form known is looked for:
lines that begin with an instruction's number, states of registers (`R1=ctx(off=0)`), branches (`from 5 to 10:`). A
log in which no instruction is found is not understood, and says so. Since Linux 7.3 the kernel explains its
verdict behind it, in sections. What it means for the program's source is `bpfas.loader.verifier.report`. Source:
the kernel's logs from 4.9 to 7.3; verifier.rst of its documents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STATISTICS = ("processed ", "verification time ", "stack depth ", "insns processed")
"""How lines begin that count, and say nothing of what is wrong."""

_BESIDES = (*STATISTICS, "cur state: ", "old state: ")
"""How lines begin that may follow a verdict, and are none."""

_EXPLANATION = re.compile(r"(?m)^Verification failed: (?P<problem>.*)\n(?P<sections>(?:.*\n?)*)")
_SECTION = re.compile(r"(?m)^(?P<title>[A-Z][\w ]*):\n(?P<text>(?: .*\n?)+)")

_UNENDED = re.compile(r"(?<=\S)processed \d+ insns .*")
"""Statistics behind a verdict that the kernel has not ended its line after."""

_INSTRUCTION = re.compile(r"(?P<index>\d+): \((?P<opcode>[0-9a-f]{2})\) (?P<text>[^;]*?)\s*(?:; (?P<state>.*))?")
_STATE = re.compile(r"(?P<index>\d+): (?P<state>(?:frame\d+: )?R\d+.*)")
_BRANCH = re.compile(r"from (?P<start>\d+) to (?P<end>\d+)(?: \([^)]*\))?:(?: safe)?(?P<state>.*)")
_REGISTER = re.compile(r"\b(?P<name>R\d+|fp-\d+)(?:_\w+)?=")
_FUNCTION = re.compile(r"func#\d+ @\d+|Func#\d+ .*|Validating .* func#\d+.*|Live regs before insn:.*")
_SOURCE = re.compile(r"; (?P<text>.*)")
_FRAME = re.compile(
    r"(?:caller|callee|returning from callee|to caller at \d+):?|\s*(?:frame\d+: )?R\d+(?:_\w+)?=.*"
)
_BACKTRACKING = re.compile(r"(?:mark_precise|last_idx|regs=|parent (?:didn't have|already had)|verifying .* at).*")


@dataclass(slots=True)
class Step:
    """An instruction that the verifier looked at: its index in slots, its text, what it knew of registers then."""

    index: int
    text: str
    before: dict[str, str] = field(default_factory=dict)


class KernelExplanation(NamedTuple):
    """What the kernel says of its verdict, each without line breaks; empty where it says nothing."""

    problem: str = ""
    reason: str = ""
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class VerifierLog:
    """What a log says. `path` are the instructions on the way to the end, `words` the verdict's lines.

    `branches` are the jumps that were taken on this way, as (from, to). All are empty for a log of unknown form.
    """

    path: tuple[Step, ...]
    words: tuple[str, ...]
    branches: tuple[tuple[int, int], ...]
    explanation: KernelExplanation

    @property
    def last(self) -> Step | None:
        """The instruction at which the verifier gave up."""
        return self.path[-1] if self.path else None


def read_log(log: str) -> VerifierLog:
    """Read a log of any level."""
    path: list[Step] = []
    words: list[str] = []
    branches: list[tuple[int, int]] = []
    registers: dict[str, str] = {}
    explained = _EXPLANATION.search(log)
    walk = log[: explained.start()] if explained else log
    for line in filter(None, map(str.rstrip, walk.splitlines())):
        if line.startswith(_BESIDES):
            continue
        if found := _INSTRUCTION.fullmatch(line):
            path.append(Step(int(found["index"]), found["text"], dict(registers)))
            registers |= _registers(found["state"] or "")
        elif found := _BRANCH.fullmatch(line):
            registers = _registers(found["state"])
            branches.append((int(found["start"]), int(found["end"])))
            if line.endswith(": safe"):
                registers = {}
            path = _until(path, int(found["start"]))
        elif found := _STATE.fullmatch(line):
            registers |= _registers(found["state"])
        elif not _is_commentary(line):
            words.append(_UNENDED.sub("", line.strip()))
            continue
        words.clear()
    explanation = _explanation(explained["problem"], explained["sections"]) if explained else KernelExplanation()
    return VerifierLog(tuple(path), tuple(words), tuple(_on_path(branches, path)), explanation)


def _explanation(problem: str, sections: str) -> KernelExplanation:
    texts = {found["title"]: " ".join(found["text"].split()) for found in _SECTION.finditer(sections)}
    return KernelExplanation(problem.strip(), texts.get("Reason", ""), texts.get("Suggestion", ""))


def _is_commentary(line: str) -> bool:
    """Whether a line accompanies the walk, and is no verdict."""
    return any(pattern.fullmatch(line) for pattern in (_SOURCE, _FUNCTION, _FRAME, _BACKTRACKING))


def _until(path: Sequence[Step], index: int) -> list[Step]:
    """The way up to the jump at `index`, from which the verifier goes on; all of it if that is not known."""
    for position in range(len(path) - 1, -1, -1):
        if path[position].index == index:
            return list(path[: position + 1])
    return list(path)


def _on_path(branches: Sequence[tuple[int, int]], path: Sequence[Step]) -> Iterator[tuple[int, int]]:
    """Of `branches`, those that lead from one instruction of `path` to the next."""
    taken = {(first.index, second.index) for first, second in pairwise(path)}
    seen = set()
    for branch in branches:
        if branch in taken and branch not in seen:
            seen.add(branch)
            yield branch


def _registers(text: str) -> dict[str, str]:
    """The registers and stack slots of a state and what is known of them: `{"R1": "ctx()", "fp-8": "mmmm"}`."""
    found = list(_REGISTER.finditer(text))
    return {
        match["name"]: text[match.end() : _value_end(text, match.end())].strip()
        for match in found
        if _depth(text, match.start()) == 0
    }


def _value_end(text: str, start: int) -> int:
    """Where a register's value ends: at the first blank outside parentheses."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] == "(":
            depth += 1
        elif text[position] == ")":
            depth -= 1
        elif text[position] == " " and depth <= 0:
            return position
    return len(text)


def _depth(text: str, end: int) -> int:
    return text.count("(", 0, end) - text.count(")", 0, end)
