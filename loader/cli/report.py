"""What `bpf-load` prints of a loaded collection and of a test run: for people, and as JSON values."""

from __future__ import annotations

import json
import select
from typing import TYPE_CHECKING

from bpfas.btf.records import plain
from bpfas.loader.errors import KernelError
from bpfas.loader.kinds import ProgramType, map_flag_names, map_type_name, program_type_name
from bpfas.loader.spec import BindingKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bpfas.loader.attach.link import Link
    from bpfas.loader.collection import Collection
    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.runtime.programs import Program, TestRunResult
    from bpfas.loader.spec import Binding

_XDP_ACTIONS = ("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT")
_HEX_BYTES_A_LINE = 32
_LONGEST_WAIT = 0.2
"""Seconds that events are waited for before looking whether that is to go on."""


def collection_json(collection: Collection) -> dict[str, object]:
    """All programs and maps. Sizes are in bytes, `instructions` in slots of 8 bytes."""
    return {
        "name": collection.name,
        "programs": [_program_json(program) for program in collection.programs.values()],
        "maps": [_map_json(map_) for map_ in collection.maps.values()],
    }


def _program_json(program: Program) -> dict[str, object]:
    info = program.info()
    return {
        "name": program.name,
        "type": program_type_name(program.type),
        "section": program.section,
        "id": info.id,
        "tag": info.tag,
        "instructions": program.instruction_count,
        "xlated_size": info.xlated_size,
        "jited_size": info.jited_size,
        "verified_instructions": info.verified_instructions,
    }


def _map_json(map_: Map) -> dict[str, object]:
    return {
        "name": map_.name,
        "kernel_name": map_.kernel_name,
        "type": map_type_name(map_.type),
        "id": map_.id,
        "key_size": map_.key_size,
        "value_size": map_.value_size,
        "max_entries": map_.max_entries,
        "flags": map_flag_names(map_.flags),
    }


def run_json(result: TestRunResult) -> dict[str, object]:
    """A test run; data and context in hexadecimal."""
    return {
        "retval": result.retval,
        "duration_ns": result.duration_ns,
        "data": result.data.hex(),
        "context": result.context.hex(),
    }


def contents_json(map_: Map) -> dict[str, object]:
    """A map's elements in hexadecimal, or why they cannot be listed."""
    try:
        return {
            "name": map_.name,
            "elements": [{"key": key.hex(), "value": plain(value)} for key, value in map_.raw.items()],
        }
    except KernelError as error:
        return {"name": map_.name, "error": error.summary}


_PROGRAM_COLUMNS = {
    "name": "PROGRAM",
    "type": "TYPE",
    "section": "SECTION",
    "tag": "TAG",
    "instructions": "INSTRUCTIONS",
    "verified_instructions": "VERIFIED",
    "xlated_size": "XLATED",
    "jited_size": "JITED",
}
_MAP_COLUMNS = {
    "name": "MAP",
    "type": "TYPE",
    "key_size": "KEY",
    "value_size": "VALUE",
    "max_entries": "ENTRIES",
    "flags": "FLAGS",
}


def collection_text(collection: Collection) -> str:
    """Programs and maps as tables; sizes are in bytes, instructions in slots of 8 bytes."""
    programs = [_program_json(program) for program in collection.programs.values()]
    maps = [
        {**_map_json(map_), "flags": ",".join(map_flag_names(map_.flags)) or "-"}
        for map_ in collection.maps.values()
    ]
    tables = [
        _table(columns, rows) for columns, rows in ((_PROGRAM_COLUMNS, programs), (_MAP_COLUMNS, maps)) if rows
    ]
    return "\n\n".join(tables)


_BINDING_COLUMNS = {"name": "NAME", "strength": "STRENGTH", "bound_to": "BOUND TO", "uses": "USED AT"}
_BOUND_TO = {
    BindingKind.KERNEL: "the kernel",
    BindingKind.NOTHING: "nothing: its address is 0",
    BindingKind.OPEN: "OPEN",
}


def bindings_json(bindings: Sequence[Binding]) -> list[dict[str, object]]:
    """What each name is bound to; `definition` is empty for what no object defines."""
    return [
        {
            "name": binding.name,
            "strength": _strength(binding),
            "bound_to": binding.kind.value,
            "definition": binding.definition,
            "uses": list(binding.uses),
        }
        for binding in bindings
    ]


def bindings_text(bindings: Sequence[Binding]) -> str:
    """What each name is bound to, as a table."""
    rows: list[dict[str, object]] = [
        {
            "name": binding.name,
            "strength": _strength(binding),
            "bound_to": binding.definition or _BOUND_TO[binding.kind],
            "uses": binding.uses[0] + (f" and {len(binding.uses) - 1} more" if len(binding.uses) > 1 else ""),
        }
        for binding in bindings
    ]
    return _table(_BINDING_COLUMNS, rows) if rows else "no name is left to others"


def _strength(binding: Binding) -> str:
    return "weak" if binding.is_weak else "strong"


def _table(columns: dict[str, str], rows: Iterable[dict[str, object]]) -> str:
    """Rows below headings; numbers to the right."""
    values = [[row[key] for key in columns] for row in rows]
    lines: list[list[str]] = [list(columns.values()), *([str(value) for value in row] for row in values)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    is_number = [isinstance(value, int) for value in values[0]]
    return "\n".join(_line(line, widths, is_number) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], is_number: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, is_number, strict=True)
    )
    return "  ".join(padded).rstrip()


def run_text(program: Program, result: TestRunResult, repeat: int) -> str:
    """The return value (an XDP action by its name), the time a run took, and the packet that came out."""
    action = ""
    if program.type is ProgramType.XDP and result.retval < len(_XDP_ACTIONS):
        action = f" ({_XDP_ACTIONS[result.retval]})"
    lines = [f"{program.name} returned {result.retval}{action}"]
    if result.duration_ns:
        lines.append(f"{result.duration_ns} ns" + (f", the mean of {repeat} runs" if repeat > 1 else ""))
    if result.data:
        lines += [f"packet of {len(result.data)} bytes:", *_hex_lines(result.data)]
    return "\n".join(lines)


def contents_text(map_: Map) -> str:
    """A map's elements, one a line, in hexadecimal."""
    heading = f"{map_.name} ({map_type_name(map_.type)}, key {map_.key_size}, value {map_.value_size}):"
    try:
        lines = [f"  {key.hex(' ')}: {_spaced_hex(value)}" for key, value in map_.raw.items()]
    except KernelError as error:
        lines = [f"  {error.cause}"]
    return "\n".join([heading, *(lines or ["  empty"])])


def _spaced_hex(value: bytes | list[bytes]) -> str:
    """A value; those of all CPUs, of a per-CPU map."""
    return " | ".join(each.hex(" ") for each in ([value] if isinstance(value, bytes) else value))


def _hex_lines(data: bytes) -> list[str]:
    return [
        f"  {data[start : start + _HEX_BYTES_A_LINE].hex(' ')}" for start in range(0, len(data), _HEX_BYTES_A_LINE)
    ]


def as_json(value: object) -> str:
    """A value as JSON."""
    return json.dumps(value, indent=2)


def link_json(link: Link) -> dict[str, object]:
    """An attachment: the program's name, and what it is attached to."""
    return {"program": link.program, "target": link.target, "pinned_path": link.pinned_path}


def event_lines(map_: Map, stopped: int, *, as_json: bool) -> Iterator[str]:
    """The events of a ring or perf buffer, one a line, until the descriptor `stopped` can be read."""
    with map_.events() as reader:
        while not select.select([stopped], [], [], 0)[0]:
            for event in reader.read(_LONGEST_WAIT):
                yield json.dumps(plain(event)) if as_json else _event_text(event)


def _event_text(event: object) -> str:
    return event.hex(" ") if isinstance(event, bytes) else json.dumps(plain(event))
