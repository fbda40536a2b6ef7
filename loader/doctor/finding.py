"""What the doctor finds: whether something works, how that was tried, why it does not, and what to do about it."""

from __future__ import annotations

import enum
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.errors import ENOTSUPP, errno_name
from bpfas.loader.kernel.config_text import option, running_config
from bpfas.loader.kernel.version import parse_version, running_version
from bpfas.loader.privilege import explain_eperm, read_situation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bpfas.loader.kinds import ProgramType


class Group(enum.Enum):
    """What a finding is about; the value is its heading."""

    MACHINE = "machine and process"
    SETTINGS = "settings of the kernel"
    FEATURES = "features that the loader adapts to"
    PROGRAM_TYPES = "types of programs"
    MAP_TYPES = "types of maps"
    HELPERS = "helper functions"
    ATTACHING = "attaching"


class State(enum.Enum):
    """How it is with something."""

    WORKS = "works"
    LIMITED = "works in part"
    FAILS = "does not work"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Finding:
    """How it is with `subject`.

    `detail` is what was seen, or why something does not work; `remedy` is what to do about it, empty where nothing
    is to be done. `tried` says how it was found out, `errno` is the kernel's answer to it, 0 for none.
    """

    group: Group
    subject: str
    state: State
    detail: str = ""
    remedy: str = ""
    tried: str = ""
    errno: int = 0

    def as_data(self) -> dict[str, object]:
        """For JSON."""
        return {
            "group": self.group.name.lower(),
            "subject": self.subject,
            "state": self.state.name.lower(),
            "works": self.state in {State.WORKS, State.LIMITED},
            "detail": self.detail,
            "remedy": self.remedy,
            "tried": self.tried,
            "errno": errno_name(self.errno) if self.errno else None,
        }


class Need(NamedTuple):
    """What something takes: the first release that has it, as `5.8`, and options, any of which has to be set."""

    since: str = ""
    options: tuple[str, ...] = ()


NO_NEED = Need()


def tried(
    group: Group,
    subject: str,
    words: str,
    trial: Callable[[], int],
    need: Need = NO_NEED,
    program_types: Collection[ProgramType] = (),
) -> Finding:
    """What trying something gives: `trial` does it, and gives an errno, 0 if it went well, or raises OSError.

    `words` say what it does.
    """
    try:
        number = trial()
    except OSError as error:
        number = error.errno or errno.EIO
    if not number:
        return Finding(group, subject, State.WORKS, tried=words)
    why = reason(number, need, program_types)
    return Finding(group, subject, State.FAILS, why.cause, why.remedy, words, number)


class Reason(NamedTuple):
    """Why something does not work, and what to do; `is_general` where it is no more than the errno says."""

    cause: str
    remedy: str = ""
    is_general: bool = False


def reason(number: int, need: Need, program_types: Collection[ProgramType] = ()) -> Reason:
    """Why something that takes `need` gave this errno, as far as release and configuration tell."""
    if need.since and 0 < running_version() < parse_version(need.since):
        return Reason(f"it came with Linux {need.since}", f"use Linux {need.since} or a later one")
    config = running_config()
    if config and need.options and not any(option(config[0], name) for name in need.options):
        names = " or ".join(need.options)
        return Reason(f"the kernel is built without {names}", f"use a kernel with {need.options[0]}=y")
    if number == errno.EPERM:
        explanation = explain_eperm(read_situation(), program_types)
        return Reason(explanation.cause, explanation.remedy)
    words = "the kernel does not support it" if number == ENOTSUPP else os.strerror(number)
    return Reason(f"the kernel says {errno_name(number)} ({words})", is_general=True)
