"""What a C header says of the step at which a loader program failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.c.data import quoted
from bpfas.loader.gen.trace import failing_steps

if TYPE_CHECKING:
    from bpfas.loader.gen.c.skeleton import Skeleton

_FUNCTION = """\
/* what failed of the last load(), in words; empty if nothing did */
static inline const char *
${X}__failed_step(const struct $X *skel)
{
	switch (skel->loader.failed_step) {
${cases}	default:
		break;
	}
	return skel->runner.failure ? skel->runner.failure : "";
}
"""


def failed_step_function(skeleton: Skeleton) -> str:
    """The function __failed_step, which knows every step that can fail."""
    cases = "".join(
        f"\tcase {number}:\n\t\treturn {quoted(f'failed: {words}')};\n"
        for number, words in failing_steps(skeleton.program.script)
    )
    return skeleton.fill(_FUNCTION, cases=cases)
