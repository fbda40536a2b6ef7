"""The text of a Script: the calls of bpf(2), the look-ups and patches, in the order in which they are done.

For people (`trace_text`), for programs (`trace_json`), and in a few words for messages about one step
(`step_words`). Numbers of enumerations stand there by their names in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfas.isa import SLOT_SIZE
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
    Require,
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


def failing_steps(script: Script) -> list[tuple[int, str]]:
    """The steps that can fail, by their numbers, in words."""
    return [
        (number, step_words(step))
        for number, step in enumerate(script.numbered_steps(), 1)
        if isinstance(step, Call | Fill | Find | Need | Require)
    ]


def step_words(step: Step) -> str:
    """What a step does, for a message: `create map counts (BPF_MAP_CREATE)`."""
    match step:
        case Call():
            verb = _VERBS.get(step.command, "call for")
            return f"{verb} {step.subject} ({command_name(step.command)})"
        case Find():
            return f"look {step.name} up in {_places(step)}"
        case Require():
            return f"require {step.subject}"
        case PatchLoad():
            return f"write what {step.found.name} is into {_count(step.instructions, 'load')} of {step.code.name}"
        case PatchCall():
            return f"write what {step.found.name} is into {_count(step.instructions, 'call')} of {step.code.name}"
        case Fill():
            return f"take {step.subject} from what is given, if it is"
        case Need():
            return f"need to be given: {step.subject}"
        case Close():
            return f"close {step.cell.name}"
        case UnlessGiven():
            return f"unless {_given_name(step)} is given at {_input_text(step.given)}"


def trace_text(script: Script) -> str:
    """The steps as lines of text, each with its number; what a step is given stands below it.

    `context+24` is the number at that offset of the context. Attributes that are 0 are left out.
    """
    lines: list[str] = []
    if script.table:
        lines += ["descriptors:", *_wrapped([cell.name for cell in script.table]), ""]
    numbers = {id(step): number for number, step in enumerate(script.numbered_steps(), 1)}
    lines += _steps_text(script.steps, numbers, "")
    if script.results:
        lines.append("give back:")
        lines += [f"    {cell.name:{_NAME_WIDTH}} at context+{offset}" for cell, offset in script.results]
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
            return f"{step_words(step)}:"
        case _:
            return step_words(step)


def _details(step: Step) -> Iterator[tuple[str, str]]:
    match step:
        case Call():
            yield from _call_details(step)
        case Find():
            if step.expected_owner is not Owner.ANY:
                yield "must be of", "vmlinux" if step.expected_owner is Owner.VMLINUX else "a module"
            if step.symbol:
                yield "must be in kallsyms", step.symbol
            yield "-> type id", step.type_id.name
            yield "-> module's BTF", step.owner.name
            yield "-> address", step.address.name
        case Require():
            yield "found as", step.found.name
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
    changing = {*overrides, step.doubled, *(name for name, _, _ in step.flags_if)}
    for name, value in step.fields:
        if value == 0 and name not in changing:
            continue
        text = _value_text(name, value)
        if name in overrides:
            text += f", unless {_input_text(overrides[name])} has another"
        if name in step.optional:
            text += ", or 0 if that fails"
        if name == step.doubled:
            text += f", doubled up to {step.doublings} times while that gives EINVAL"
        text += "".join(
            f", with {_WORDS[name](bits)} if {_source_text(source)} is not 0"
            for field, source, bits in step.flags_if
            if field == name
        )
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
            return _address_text(name, value)
        case Input():
            return _input_text(value)
    raise TypeError(value)


def _name_text(value: bytes) -> str:
    return '"' + value.rstrip(b"\0").decode(errors="backslashreplace") + '"'


def _number_text(name: str, value: int) -> str:
    return _WORDS[name](value) if name in _WORDS else str(value)


def _address_text(field: str, address: Address) -> str:
    """What is at an address, in a field of that name."""
    item = address.target
    if not isinstance(item, Item):
        return f"the address of {item.name}" if item else "the table of descriptors"
    size = len(item.data)
    if field == "insns":
        return f"{size // SLOT_SIZE} instructions ({item.name})"
    shown = item.data[:_SHOWN_BYTES].hex(" ") + (" …" if size > _SHOWN_BYTES else "")
    return f"{size} {'byte' if size == 1 else 'bytes'} ({item.name}): {shown}"


def _source_text(source: Cell | Input) -> str:
    return source.name if isinstance(source, Cell) else _input_text(source)


def _input_text(given: Input) -> str:
    return f"context+{given.offset}"


def _given_name(step: UnlessGiven) -> str:
    """What the context may have already: what else the steps would make, or fill."""
    if step.cell:
        return step.cell.name
    calls = [each for each in step.steps if isinstance(each, Call)]
    made = next((each.result for each in reversed(calls) if each.result), None)
    filled = next((value for each in calls for name, value in each.fields if name == "map_fd"), None)
    cell = made or filled
    return cell.name if isinstance(cell, Cell) else "a number"


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
                data["doubled"] = {"attribute": step.doubled, "times": step.doublings}
            if step.flags_if:
                data["flags_if"] = [
                    {"attribute": name, "source": _source_json(source), "flags": bits}
                    for name, source, bits in step.flags_if
                ]
            if step.result:
                data["result"] = step.result.name
        case Find():
            data |= {"step": "find", "name": step.name}
            data["places"] = [place.value for place in step.places]
            data |= {"expected_owner": step.expected_owner.value, "symbol": step.symbol}
            data |= {"type_id": step.type_id.name, "owner": step.owner.name, "address": step.address.name}
        case Require():
            data |= {"step": "require", "subject": step.subject, "name": step.found.name}
        case PatchLoad():
            data |= {"step": "patch_load", "code": step.code.name, "name": step.found.name}
            data["instructions"] = list(step.instructions)
        case PatchCall():
            data |= {"step": "patch_call", "code": step.code.name, "name": step.found.name}
            data |= {"instructions": list(step.instructions), "absent": step.absent}
        case Fill():
            data |= {"step": "fill", "subject": step.subject, "item": _item_json(step.item)}
            data["given"] = _input_json(step.given)
        case Need():
            data |= {"step": "need", "subject": step.subject, "given": _input_json(step.given)}
        case Close():
            data |= {"step": "close", "cell": step.cell.name}
        case UnlessGiven():
            data |= {"step": "unless_given", "cell": step.cell.name if step.cell else None}
            data["given"] = _input_json(step.given)
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
            target = value.target
            found = (
                _item_json(target) if isinstance(target, Item) else {"cell": target.name} if target else "table"
            )
            return {"address_of": found}
        case Input():
            return _input_json(value)
    raise TypeError(value)


def _item_json(item: Item) -> dict[str, Any]:
    return {"item": item.name, "size": len(item.data), "data": item.data.hex()}


def _source_json(source: Cell | Input) -> dict[str, Any]:
    return {"cell": source.name} if isinstance(source, Cell) else _input_json(source)


def _input_json(given: Input) -> dict[str, Any]:
    return {"context": given.offset, "size": given.size}
