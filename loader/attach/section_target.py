"""What a program's section says of where to attach it, and the errors where it does not say enough.

Source: libbpf 1.8.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.attach.failure import attach_error
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.protocols import Attachable
    from bpfas.loader.errors import AttachError

_OFFSET = re.compile(r"(.*)\+(0[xX][0-9a-fA-F]+|[0-9]+)")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


def section_stem(program: Attachable) -> str:
    """What stands in front of the first `/` of the program's section: `kretprobe`."""
    return program.spec.section.removeprefix("?").partition("/")[0]


def is_return(program: Attachable) -> bool:
    """Whether the section asks for the return of a function: kretprobe, uretprobe.multi, kretsyscall."""
    return section_stem(program).startswith(("kretprobe", "uretprobe", "kretsyscall"))


def section_target(program: Attachable, form: str) -> str:
    """What the program's section, or what it was told since, says of where; `form` is how that looks.

    Raises AttachError where it says nothing.
    """
    target = program.spec.attach_target
    if not target:
        stem = section_stem(program) or "nothing"
        raise attach_error(
            program,
            "",
            errno.EINVAL,
            explanation=Explanation(
                f"its section '{program.spec.section}' does not say where to attach it",
                f"name the section {stem}/{form}, or say it when attaching",
            ),
        )
    return target


def malformed(program: Attachable, target: str, form: str) -> AttachError:
    """The error for a target that is not of the form that its way wants."""
    return attach_error(
        program,
        target,
        errno.EINVAL,
        explanation=Explanation(
            f"'{target}' is not of the form {form}", f"name the section …/{form}, or say it by hand"
        ),
    )


class FunctionAndOffset(NamedTuple):
    """A function, and how many bytes behind its start."""

    name: str
    offset: int


def split_offset(text: str) -> FunctionAndOffset:
    """`name+0x10` in its parts; the offset is 0 where there is none."""
    match = _OFFSET.fullmatch(text)
    return FunctionAndOffset(match[1], parse_number(match[2])) if match else FunctionAndOffset(text, 0)


def is_number(text: str) -> bool:
    """Whether it is a number as sections write them: decimal, or hexadecimal with 0x."""
    return bool(_NUMBER.fullmatch(text))


def parse_number(text: str) -> int:
    """The value of a number as sections write them."""
    return int(text, 16 if text[:2].lower() == "0x" else 10)
