"""The exception for a loader program that failed: its step in words, and why, as direct loading says it.

The program tells the number of the step and the errno; everything else is known from its Script and Plan.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.errors import LoadError, Step, VerifierError, explain
from bpfas.loader.gen.running.invocation import SUBJECT
from bpfas.loader.gen.script import Call, Fill, Find, Need, Require
from bpfas.loader.gen.trace import step_words
from bpfas.loader.loading.attach_target import TARGET_PREFIXES
from bpfas.loader.loading.map_faults import explain_refusal
from bpfas.loader.privilege import Explanation
from bpfas.loader.syscall.bpf import Command

if TYPE_CHECKING:
    from bpfas.loader.gen.loader_program import LoaderProgram
    from bpfas.loader.gen.running.inputs import Inputs
    from bpfas.loader.gen.script import Step as ScriptStep
    from bpfas.loader.kernel.kernel import Kernel
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.loading.plan import Plan, ProgramPlan
    from bpfas.loader.loading.session import Session

_OF_COMMANDS = {
    Command.BTF_LOAD: Step.LOAD_BTF,
    Command.MAP_CREATE: Step.CREATE_MAP,
    Command.MAP_UPDATE_ELEM: Step.FILL_MAP,
    Command.MAP_FREEZE: Step.FREEZE_MAP,
    Command.PROG_LOAD: Step.LOAD_PROGRAM,
}
_WITH_LOG = frozenset({Command.BTF_LOAD, Command.PROG_LOAD})

_BEFORE_STEPS = Explanation("the program ended before its first step")
_OTHER_DATA = Explanation(
    "the data is not that which the program was made for",
    "take the file as it was generated and signed; something has changed it",
)
_NOT_GIVEN = Explanation(
    "what the kernel's configuration says is not part of the program, and was not given to it",
    "run it by bpf-load gen run, or bpfas.loader.gen.run, which look it up",
)
_NO_NAME = Explanation(
    "the kernel has nothing of this name and kind",
    "load the module that has it (modprobe), use a kernel that has it, or declare it weak (__weak)",
)
_NO_SYMBOLS = Explanation(
    "this process may not look up addresses in the kernel, or the kernel hides them",
    "see kernel.kptr_restrict; it takes CAP_SYSLOG or CAP_PERFMON",
)


class Failure:
    """A run that failed: `number` is the errno, `step_number` that of the step from 1 on, 0 for none of them."""

    def __init__(self, program: LoaderProgram, inputs: Inputs, number: int, step_number: int) -> None:
        steps = program.script.numbered_steps()
        self.program = program
        self.plan = inputs.plan
        self.number = number
        self.step: ScriptStep | None = steps[step_number - 1] if 0 < step_number <= len(steps) else None
        self.place = f"step {step_number} of {len(steps)} of the loader program"

    @property
    def has_log(self) -> bool:
        """Whether the kernel has more to say of what failed, if it is asked for a log."""
        return isinstance(self.step, Call) and self.step.command in _WITH_LOG

    @property
    def program_name(self) -> str:
        """The program whose loading failed; empty if it was something else."""
        step = self.step
        if isinstance(step, Call) and step.command == Command.PROG_LOAD:
            return step.subject.removeprefix("program ")
        return ""

    def exception(self, session: Session, kernel: Kernel, options: LoadOptions, log: str = "") -> LoadError:
        """What to raise; `log` is what the kernel said of the step."""
        number, step = self.number, self.step
        if step is None:
            explanation = _OTHER_DATA if self.program.scheme and number == errno.EINVAL else _BEFORE_STEPS
            return LoadError(Step.RUN_PROGRAM, SUBJECT, number, explanation, log)
        details = [f"{self.place}: {step_words(step)}"]
        if isinstance(step, Call):
            return self._of_call(step, session, log, details)
        if isinstance(step, Find | Require):
            found = step if isinstance(step, Find) else step.found
            subject = SUBJECT if isinstance(step, Find) else step.subject
            explanation = self._not_found(found, kernel, options)
            return LoadError(Step.FIND_NAME, subject, number, explanation, "", details)
        explanation = _NOT_GIVEN if isinstance(step, Need) else explain(Step.TAKE_INPUT, number)
        subject = step.subject if isinstance(step, Need | Fill) else SUBJECT
        return LoadError(Step.TAKE_INPUT, subject, number, explanation, "", details)

    def _of_call(self, call: Call, session: Session, log: str, details: list[str]) -> LoadError:
        number = self.number
        kind, _, name = call.subject.partition(" ")
        program = self.plan.programs.get(self.program_name)
        if program and log.strip():
            return _refusal(call.subject, number, log, program, self.plan, details)
        each = self.plan.maps.get(name) if kind == "map" else None
        explanation = None
        if call.command == Command.MAP_CREATE and each:
            explanation = explain_refusal(each.spec, number)
        step = _OF_COMMANDS[call.command]
        if call.command == Command.MAP_UPDATE_ELEM and call.subject.endswith("]"):
            step = Step.FILL_SLOT
        if explanation is None:
            types = (program.spec.program_type,) if program else None
            error = session.error(step, call.subject, OSError(number, ""), types)
            explanation = Explanation(error.cause, error.remedy)
        return LoadError(step, call.subject, number, explanation, log, details)

    def _not_found(self, step: Find, kernel: Kernel, options: LoadOptions) -> Explanation:
        """What direct loading says of the same: it looks at everything that the kernel has of similar names."""
        if self.number == errno.EPERM:
            return _NO_SYMBOLS
        from bpfas.loader.loading.resolve import resolve  # only for what fails

        try:
            resolve(self.plan.image, kernel, options)
        except BpfasError as error:
            # Messages call an attach target as the section does.
            names = {step.name, *(step.name.removeprefix(prefix) for prefix in TARGET_PREFIXES)}
            for found in error.diagnostics:
                if any(f"'{name}'" in found.message for name in names):
                    return Explanation(found.message, "; ".join(found.notes))
        return _NO_NAME if self.number == errno.ENOENT else explain(Step.FIND_NAME, self.number)


def _refusal(
    subject: str, number: int, log: str, program: ProgramPlan, plan: Plan, details: list[str]
) -> VerifierError:
    from bpfas.loader.verifier.report import report_on  # only for what fails

    return VerifierError(subject, number, log, report_on(log, program, plan), details)
