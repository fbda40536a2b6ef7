"""What `bpf-load` prints of a loaded collection and of a test run: for people, and as JSON values."""

from __future__ import annotations

import json
import select
from typing import TYPE_CHECKING

from bpfas.btf.records import plain
from bpfas.loader.cli.table import table
from bpfas.loader.cli.values import value_text
from bpfas.loader.kinds import ProgramType, map_flag_names, map_type_name, program_type_name
from bpfas.loader.spec import BindingKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.loader.attach.link import Link
    from bpfas.loader.loading.collection import Collection
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
        table(columns, rows) for columns, rows in ((_PROGRAM_COLUMNS, programs), (_MAP_COLUMNS, maps)) if rows
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
    return table(_BINDING_COLUMNS, rows) if rows else "no name is left to others"


def _strength(binding: Binding) -> str:
    return "weak" if binding.is_weak else "strong"


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


def event_lines(map_: Map, stopped: int, event_type: str | None = None, *, as_json: bool) -> Iterator[str]:
    """The events of a ring or perf buffer, one a line, until the descriptor `stopped` can be read.

    `event_type` is of what type they are (`struct event`), where the map does not say. Raises BpfasError.
    """
    with map_.events(event_type) as reader:
        while not select.select([stopped], [], [], 0)[0]:
            for event in reader.read(_LONGEST_WAIT):
                yield json.dumps(plain(event)) if as_json else value_text(event)
