"""What a C header says of the step at which a loader program failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.c_data import quoted
from bpfas.loader.gen.script import Call, Close, Fill, Find, Need, PatchCall, PatchLoad, Require, Step, UnlessGiven

if TYPE_CHECKING:
    from bpfas.loader.gen.c_skeleton import Skeleton

_FUNCTION = """\
/* what failed of the last load(), in words; empty if nothing did */
static inline const char *
${X}__failed_step(const struct $X *skel)
{
	switch (skel->loader.failed_step) {
${cases}\tdefault:
		break;
	}
	return skel->runner.failure ? skel->runner.failure : "";
}
"""


def failed_step_function(skeleton: Skeleton) -> str:
    """The function __failed_step, which knows every step that can fail."""
    steps = skeleton.program.script.numbered_steps()
    texts = [(number, text) for number, step in enumerate(steps, 1) if (text := step_text(step))]
    cases = "".join(f"\tcase {number}:\n\t\treturn {quoted(text)};\n" for number, text in texts)
    return skeleton.fill(_FUNCTION, cases=cases)


def step_text(step: Step) -> str:
    """A step in words, after which a colon and the error may stand; empty for one that cannot fail."""
    match step:
        case Call():
            return f"{step.subject}: bpf({step.command.name})"
        case Require():
            return f"{step.subject}: the kernel has none"
        case Need():
            return f"{step.subject}: it has to be given before loading"
        case Fill():
            return f"{step.subject}: read from memory"
        case Find() | Close() | PatchLoad() | PatchCall() | UnlessGiven():
            return ""
