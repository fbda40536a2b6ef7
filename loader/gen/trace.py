"""The text of a Script: the calls of bpf(2), the look-ups and patches, in the order in which they are done.

For people (`trace_text`), for programs (`trace_json`), and in a few words for messages about one step
(`step_words`). Numbers of enumerations stand there by their names in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfas.loader.gen.script import (
    Address,
    Call,
    Cell,
    Close,
    Fill,
    Find,
    Input,
    Item,
    Need,
    Owner,
    PatchCall,
    PatchLoad,
    Step,
    UnlessGiven,
)
from bpfas.loader.kinds import AttachType, MapFlag, MapType, ProgramFlag, ProgramType
from bpfas.loader.syscall.bpf import Command

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Iterator, Sequence

    from bpfas.loader.gen.script import Script

_NAME_WIDTH = 22
_SHOWN_BYTES = 16
_SHOWN_INSTRUCTIONS = 8
"""How many numbers of instructions a line of text has."""
_SLOT_SIZE = 8


def _named(prefix: str, members: type[enum.IntEnum]) -> Callable[[int], str]:
    def name(number: int) -> str:
        return f"{prefix}{members(number).name}" if number in set(members) else str(number)

    return name


def _flags(members: type[enum.IntFlag]) -> Callable[[int], str]:
    def names(number: int) -> str:
        found = [f"BPF_F_{flag.name}" for flag in members if flag & number]
        if unknown := number & ~sum(members):
            found.append(hex(unknown))
        return " | ".join(found) or "0"

    return names


_WORDS: dict[str, Callable[[int], str]] = {
    "map_type": _named("BPF_MAP_TYPE_", MapType),
    "prog_type": _named("BPF_PROG_TYPE_", ProgramType),
    "expected_attach_type": _named("BPF_", AttachType),
    "map_flags": _flags(MapFlag),
    "prog_flags": _flags(ProgramFlag),
    "map_extra": hex,
}
"""How the numbers of a field are written; others as decimal numbers."""

_COMMANDS = {Command.PROG_TEST_RUN: "BPF_PROG_RUN"}
_VERBS = {
    Command.MAP_CREATE: "create",
    Command.MAP_UPDATE_ELEM: "fill",
    Command.MAP_FREEZE: "freeze",
    Command.PROG_LOAD: "load",
    Command.BTF_LOAD: "load",
}


def command_name(command: Command) -> str:
    """`BPF_MAP_CREATE`."""
    return _COMMANDS.get(command, f"BPF_{command.name}")


def step_words(step: Step) -> str:
    """What a step does, for a message: `create map counts (BPF_MAP_CREATE)`."""
    match step:
        case Call():
            verb = _VERBS.get(step.command, "call for")
            return f"{verb} {step.subject} ({command_name(step.command)})"
        case Find():
            return f"find {step.name} in {_places(step)} for {step.subject}"
        case PatchLoad():
            return f"write what {step.found.name} is into {_count(step.instructions, 'load')} of {step.code.name}"
        case PatchCall():
            return f"write what {step.found.name} is into {_count(step.instructions, 'call')} of {step.code.name}"
        case Fill():
            return f"take {step.item.name} from the context, if given"
        case Need():
            return f"need what is given for {step.subject}"
        case Close():
            return f"close {step.cell.name}"
        case UnlessGiven():
            return f"take {step.cell.name} from the context, if given"


def trace_text(script: Script) -> str:
    """The steps as lines of text, each with its number; what a step is given stands below it."""
    lines: list[str] = []
    if script.table:
        lines += ["descriptors:", *_wrapped([cell.name for cell in script.table]), ""]
    numbers = {id(step): number for number, step in enumerate(script.numbered_steps(), 1)}
    lines += _steps_text(script.steps, numbers, "")
    if script.results:
        lines.append("give back:")
        lines += [f"    {cell.name:{_NAME_WIDTH}} at {offset} of the context" for cell, offset in script.results]
    return "\n".join(lines)


def trace_json(script: Script) -> dict[str, Any]:
    """The same for programs, with all contents in hexadecimal.

    Offsets and sizes are in bytes, places of instructions count slots of 8 bytes. The steps of a step that is only
    done unless something is given stand in it.
    """
    numbers = {id(step): number for number, step in enumerate(script.numbered_steps(), 1)}
    return {
        "table": [cell.name for cell in script.table],
        "steps": [_step_json(step, numbers) for step in script.steps],
        "results": [{"cell": cell.name, "offset": offset} for cell, offset in script.results],
    }


def _steps_text(steps: Sequence[Step], numbers: dict[int, int], indent: str) -> Iterator[str]:
    for step in steps:
        yield f"{indent}{numbers[id(step)]:4}  {_headline(step)}"
        if isinstance(step, UnlessGiven):
            yield from _steps_text(step.steps, numbers, indent + "  ")
        else:
            for name, text in _details(step):
                yield f"{indent}        {name:{_NAME_WIDTH}} {text}".rstrip()


def _headline(step: Step) -> str:
    match step:
        case Call():
            return f"{command_name(step.command)}: {step.subject}"
        case UnlessGiven():
            return f"unless {_input_text(step.given)} gives {step.cell.name}:"
        case _:
            return step_words(step)


def _details(step: Step) -> Iterator[tuple[str, str]]:
    match step:
        case Call():
            yield from _call_details(step)
        case Find():
            if not step.required:
                yield "may be missing", ""
            if step.expected_owner is not Owner.ANY:
                yield "must be of", "vmlinux" if step.expected_owner is Owner.VMLINUX else "a module"
            if step.symbol:
                yield "must be in kallsyms", step.symbol
            yield "-> type id", step.type_id.name
            yield "-> module's BTF", step.owner.name
            yield "-> address", step.address.name
        case PatchLoad():
            yield "instructions", _instructions_text(step.instructions)
        case PatchCall():
            yield "instructions", _instructions_text(step.instructions)
            yield "if there is none", f"call {step.absent}"
        case Fill():
            yield "address", _input_text(step.given)
            yield "bytes", str(len(step.item.data))
        case Need():
            yield "given", _input_text(step.given)
        case _:
            pass


def _call_details(step: Call) -> Iterator[tuple[str, str]]:
    overrides = dict(step.overrides)
    for name, value in step.fields:
        text = _value_text(name, value)
        if name in overrides:
            text += f", unless {_input_text(overrides[name])} has another"
        if name in step.optional:
            text += ", or 0 if that fails"
        if name == step.doubled:
            text += f", doubled up to {step.doubled_until} while that gives EINVAL"
        yield name, text
    fields = dict(step.fields)
    for name, given in step.overrides:
        if name not in fields:
            yield name, f"0, unless {_input_text(given)} has another"
    if step.result:
        yield "-> descriptor", step.result.name


def _value_text(name: str, value: object) -> str:
    match value:
        case bytes():
            return _name_text(value)
        case int():
            return _number_text(name, value)
        case Cell():
            return value.name
        case Address():
            return _item_text(name, value.item) if value.item else "the table of descriptors"
        case Input():
            return _input_text(value)
    raise TypeError(value)


def _name_text(value: bytes) -> str:
    return '"' + value.rstrip(b"\0").decode(errors="backslashreplace") + '"'


def _number_text(name: str, value: int) -> str:
    return _WORDS[name](value) if name in _WORDS else str(value)


def _item_text(field: str, item: Item) -> str:
    size = len(item.data)
    if field == "insns":
        return f"{size // _SLOT_SIZE} instructions ({item.name})"
    shown = item.data[:_SHOWN_BYTES].hex(" ") + (" …" if size > _SHOWN_BYTES else "")
    return f"{size} {'byte' if size == 1 else 'bytes'} ({item.name}): {shown}"


def _input_text(given: Input) -> str:
    return f"the context at {given.offset}"


def _places(step: Find) -> str:
    words = ["kallsyms" if place.value == "kallsyms" else f"the types ({place.value})" for place in step.places]
    return ", then ".join(words)


def _count(instructions: Sequence[int], what: str) -> str:
    return f"{len(instructions)} {what}{'' if len(instructions) == 1 else 's'}"


def _instructions_text(instructions: Sequence[int]) -> str:
    shown = ", ".join(str(index) for index in instructions[:_SHOWN_INSTRUCTIONS])
    more = len(instructions) - _SHOWN_INSTRUCTIONS
    return f"{shown} and {more} more" if more > 0 else shown


def _wrapped(names: Sequence[str]) -> Iterator[str]:
    for index, name in enumerate(names):
        yield f"{index:4}  {name}"


def _step_json(step: Step, numbers: dict[int, int]) -> dict[str, Any]:
    data: dict[str, Any] = {"number": numbers[id(step)]}
    match step:
        case Call():
            data |= {"step": "call", "command": command_name(step.command), "subject": step.subject}
            data["attributes"] = {name: _value_json(name, value) for name, value in step.fields}
            if step.overrides:
                data["overrides"] = {name: _input_json(given) for name, given in step.overrides}
            if step.optional:
                data["optional"] = list(step.optional)
            if step.doubled:
                data["doubled"] = {"attribute": step.doubled, "until": step.doubled_until}
            if step.result:
                data["result"] = step.result.name
        case Find():
            data |= {"step": "find", "name": step.name, "subject": step.subject}
            data["places"] = [place.value for place in step.places]
            data |= {"required": step.required, "expected_owner": step.expected_owner.value, "symbol": step.symbol}
            data |= {"type_id": step.type_id.name, "owner": step.owner.name, "address": step.address.name}
        case PatchLoad():
            data |= {"step": "patch_load", "code": step.code.name, "name": step.found.name}
            data["instructions"] = list(step.instructions)
        case PatchCall():
            data |= {"step": "patch_call", "code": step.code.name, "name": step.found.name}
            data |= {"instructions": list(step.instructions), "absent": step.absent}
        case Fill():
            data |= {"step": "fill", "item": _item_json(step.item), "given": _input_json(step.given)}
        case Need():
            data |= {"step": "need", "subject": step.subject, "given": _input_json(step.given)}
        case Close():
            data |= {"step": "close", "cell": step.cell.name}
        case UnlessGiven():
            data |= {"step": "unless_given", "cell": step.cell.name, "given": _input_json(step.given)}
            data["steps"] = [_step_json(each, numbers) for each in step.steps]
    return data


def _value_json(name: str, value: object) -> Any:
    match value:
        case bytes():
            return value.rstrip(b"\0").decode(errors="backslashreplace")
        case int():
            return _WORDS[name](value) if name in _WORDS and name != "map_extra" else value
        case Cell():
            return {"cell": value.name}
        case Address():
            return {"address_of": _item_json(value.item) if value.item else "table"}
        case Input():
            return _input_json(value)
    raise TypeError(value)


def _item_json(item: Item) -> dict[str, Any]:
    return {"item": item.name, "size": len(item.data), "data": item.data.hex()}


def _input_json(given: Input) -> dict[str, Any]:
    return {"context": given.offset, "size": given.size}
