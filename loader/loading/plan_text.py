"""A Plan as people and machines read it: what a dry run shows.

Instructions are shown as the kernel would get them, in pseudo-C, each 64-bit immediate load that waits for a
descriptor with what it waits for, with the source's lines in between where the object has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfas.helpers import HELPERS_BY_NUMBER
from bpfas.isa import SLOT_SIZE, DecodeError, Dialect, decode, format_instruction
from bpfas.loader.instructions import CALL, CallSource, Code
from bpfas.loader.kinds import (
    NO_ATTACH_TYPE,
    ProgramType,
    attach_type_name,
    map_flag_names,
    map_type_name,
    program_type_name,
)
from bpfas.loader.spec import ReferenceKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bpfas.btf.btf import Btf
    from bpfas.loader.loading.plan import MapPlan, Plan, ProgramPlan
    from bpfas.loader.spec import MapSpec, ProgramSpec

_LINE_WORDS = 4
_SHOWN_BYTES = 16


def plan_text(plan: Plan) -> str:
    """All maps and programs of the plan."""
    lines = [_map_text(each) for each in plan.maps.values()]
    for program in plan.programs.values():
        spec = program.spec
        lines += [
            "",
            f"program {spec.name}: {program_type_name(spec.program_type)} ({spec.section}){_attach(program)}",
        ]
        for instruction in _instructions(program, plan):
            if (function := instruction.get("function")) and instruction["index"]:
                lines.append(f"{function}:")
            if source := instruction.get("source"):
                lines.append(f"; {source}")
            comment = f"  ; {instruction['comment']}" if "comment" in instruction else ""
            lines.append(f"{instruction['index']:5}: {instruction['text']}{comment}")
    return "\n".join(lines).lstrip("\n")


def plan_json(plan: Plan) -> dict[str, object]:
    """The same for machines; contents and instructions are in hexadecimal, sizes in bytes."""
    return {
        "name": plan.image.name,
        "maps": [_map_json(each.spec) for each in plan.maps.values()],
        "programs": [
            {
                "name": program.spec.name,
                "section": program.spec.section,
                "type": program_type_name(program.spec.program_type),
                "expected_attach_type": _attach_type(program.spec),
                "attach_btf_id": program.attach.type_id if program.attach else None,
                "bytes": program.instructions.hex(),
                "instructions": list(_instructions(program, plan)),
            }
            for program in plan.programs.values()
        ],
        "warnings": [warning.message for warning in plan.warnings],
    }


def _attach_type(spec: ProgramSpec) -> str | None:
    """The expected attach type; None for types of programs that have none, which the kernel is given 0 for."""
    has_none = spec.expected_attach_type == NO_ATTACH_TYPE and spec.program_type != ProgramType.CGROUP_SKB
    return None if has_none else attach_type_name(spec.expected_attach_type)


def _attach(program: ProgramPlan) -> str:
    if program.attach is None:
        return ""
    return f", for {program.spec.attach_target} (type {program.attach.type_id} of {program.attach.owner.name})"


def _map_text(plan: MapPlan) -> str:
    spec = plan.spec
    parts = [
        f"map {spec.name}: {map_type_name(spec.map_type)}, key {spec.key_size}, value {spec.value_size}",
        f"{spec.max_entries} entries",
    ]
    if spec.map_flags:
        parts.append(f"flags {'|'.join(map_flag_names(spec.map_flags))}")
    if spec.map_extra:
        parts.append(f"map_extra {spec.map_extra:#x}")
    if spec.contents is not None:
        shown = spec.contents[:_SHOWN_BYTES].hex(" ")
        parts.append(f"contents {shown}{' …' if len(spec.contents) > _SHOWN_BYTES else ''}")
    if spec.frozen:
        parts.append("frozen")
    parts += [f"[{slot.index}] = {slot.name}" for slot in spec.slots]
    return ", ".join(parts)


def _map_json(spec: MapSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "kernel_name": spec.kernel_name,
        "type": map_type_name(spec.map_type),
        "key_size": spec.key_size,
        "value_size": spec.value_size,
        "max_entries": spec.max_entries,
        "flags": map_flag_names(spec.map_flags),
        "map_extra": spec.map_extra,
        "contents": None if spec.contents is None else spec.contents.hex(),
        "frozen": spec.frozen,
        "slots": {slot.index: slot.name for slot in spec.slots},
        "inner": _map_json(spec.inner) if spec.inner else None,
    }


def _instructions(program: ProgramPlan, plan: Plan) -> Iterator[dict[str, Any]]:
    """Of each instruction its index in slots, its text, what there is to say of it, and the source's line."""
    code = Code(program.instructions, plan.image.byte_order)
    sources = _source_lines(program, plan.image.types) if plan.image.types else {}
    functions = _functions(program)
    comments = _comments(program)
    symbols = _symbolic(program, code, functions)
    for index in code.starts():
        shown: dict[str, Any] = {"index": index}
        try:
            shown["text"] = symbols.get(index) or format_instruction(
                decode(code.data, index * SLOT_SIZE, code.order), Dialect.PSEUDOC
            )
        except DecodeError as error:
            shown["text"] = f".byte {code.data[index * SLOT_SIZE : (index + 1) * SLOT_SIZE].hex(' ')}"
            shown["comment"] = str(error)
        if index in comments:
            shown["comment"] = comments[index]
        if index in functions:
            shown["function"] = functions[index]
        if index in sources:
            shown["source"] = sources[index]
        yield shown


def _symbolic(program: ProgramPlan, code: Code, functions: Mapping[int, str]) -> dict[int, str]:
    """By index, the text of the instructions that refer to something by its number or descriptor."""
    spec = program.spec
    texts = {
        reference.instruction: f"r{code.dst(reference.instruction)} = map[{reference.map_name}]"
        + (f"[0]+{reference.offset}" if reference.kind is ReferenceKind.MAP_VALUE else "")
        for reference in spec.references
    }
    texts |= {
        index: f"r{code.dst(index)} = map[{table.name}][0]+0"
        for table in spec.jump_tables
        for index in table.loads
    }
    names = {reference.instruction: reference.name for reference in spec.externs}
    for index in code.starts():
        if code.opcode(index) == CALL:
            texts[index] = _call(code, index, functions, names)
    return texts


def _call(code: Code, index: int, functions: Mapping[int, str], names: Mapping[int, str]) -> str:
    number, source = code.imm(index), code.src(index)
    if source == CallSource.FUNCTION:
        target = functions.get(index + 1 + number)
        return f"call pc{number:+d}" + (f" <{target}>" if target else "")
    if source == CallSource.KFUNC:
        return f"call {names.get(index, 'kfunc')}#{number}"
    helper = HELPERS_BY_NUMBER.get(number)
    return f"call {helper.name if helper else names.get(index, 'unknown')}#{number}"


def _comments(program: ProgramPlan) -> Mapping[int, str]:
    """By instruction, what is missing in the kernel, and of which module something is."""
    return {instruction: f"of module {owner.name}" for instruction, owner in program.btf_fields} | dict(
        program.poisoned
    )


def _functions(program: ProgramPlan) -> Mapping[int, str]:
    """The functions of the program by their first instruction."""
    return {part.instruction: part.name for part in program.spec.parts}


def _source_lines(program: ProgramPlan, types: Btf) -> Mapping[int, str]:
    """The text of the source's line at each instruction where another one begins."""
    words = program.spec.line_info
    lines: dict[int, str] = {}
    last = ""
    for start in range(0, len(words), _LINE_WORDS):
        index, file_name, text, place = words[start : start + _LINE_WORDS]
        line = types.string(text).strip() or f"{types.string(file_name)}:{place >> 10}"
        if line != last:
            lines[index] = last = line
    return lines
