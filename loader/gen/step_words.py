"""Steps of a Script in words, for who reads why one has failed."""

from __future__ import annotations

from bpfas.loader.gen.script import Call, Fill, Need, Require, Step
from bpfas.loader.syscall.bpf import Command

_CALLS = {
    Command.BTF_LOAD: "load the types (BTF)",
    Command.MAP_CREATE: "create {}",
    Command.MAP_UPDATE_ELEM: "fill {}",
    Command.MAP_FREEZE: "freeze {}",
    Command.PROG_LOAD: "load {}",
}


def step_words(step: Step) -> str:
    """What a step does, to stand behind `cannot`; empty for one that cannot fail."""
    match step:
        case Call(subject, command):
            return _CALLS.get(command, f"{command.name} {{}}").format(subject)
        case Require(subject):
            return f"find {subject}"
        case Need(subject):
            return f"go on without being given the {subject}"
        case Fill(subject):
            return f"read the {subject} that are given"
    return ""
