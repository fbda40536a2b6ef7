"""Keys and values of maps as commands are given them, and as they are printed: typed where the map has types.

On the command line a value is a number, JSON, `hex:` and bytes, or else the text itself (an enumerator's name, the
contents of a `char[]`). What a type makes of it is `bpfas.btf.values`'s.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from bpfas.btf.records import plain
from bpfas.diag import BpfasError
from bpfas.loader.errors import KernelError
from bpfas.loader.kinds import map_type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.runtime.maps import Map

HEX_PREFIX = "hex:"
_WIDEST = 100
"""Characters of a value in one line; the members of a longer one have lines of their own."""


def parse_value(text: str) -> Any:
    """A number in any base, JSON, bytes behind `hex:`, or else the text itself. Raises BpfasError."""
    if text.startswith(HEX_PREFIX):
        return parse_hex(text)
    with contextlib.suppress(ValueError):
        return int(text, 0)
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text


def parse_hex(text: str) -> bytes:
    """The bytes behind `hex:`. Raises BpfasError."""
    try:
        return bytes.fromhex(text.removeprefix(HEX_PREFIX))
    except ValueError as error:
        raise BpfasError.of(f"'{text}' is not hexadecimal: hex: takes pairs of digits 0-9 and a-f") from error


def value_text(value: Any) -> str:
    """A value in one line: bytes in hexadecimal with blanks, all else as JSON has it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex(" ")
    return json.dumps(plain(value), ensure_ascii=False)


def value_lines(value: Any, *, is_per_cpu: bool = False) -> list[str]:
    """A value in lines: each CPU's in one of a per-CPU map, each member's of a struct that is too long for one."""
    if is_per_cpu and isinstance(value, list):
        return [f"cpu {cpu}: {value_text(each)}" for cpu, each in enumerate(value)]
    whole = value_text(value)
    members = plain(value) if len(whole) > _WIDEST else None
    if isinstance(members, dict):
        return [f"{name}: {json.dumps(member, ensure_ascii=False)}" for name, member in members.items()]
    return [whole]


def element_lines(key: Any, value: Any, *, is_per_cpu: bool = False) -> list[str]:
    """An element: its key, and its value beside or below it."""
    lines = value_lines(value, is_per_cpu=is_per_cpu)
    head = f"{value_text(key)}:"
    return [f"{head} {lines[0]}"] if len(lines) == 1 else [head, *(f"  {line}" for line in lines)]


def contents_text(map_: Map) -> str:
    """A map's elements below its name, or why they cannot be listed."""
    heading = f"{map_.name} ({map_type_name(map_.type)}, key {map_.key_size}, value {map_.value_size}):"
    try:
        lines = [f"  {line}" for line in _all_lines(map_)]
    except KernelError as error:
        lines = [f"  {error.cause}"]
    return "\n".join([heading, *(lines or ["  empty"])])


def contents_json(map_: Map) -> dict[str, object]:
    """A map's elements, or why they cannot be listed; what has no type is in hexadecimal."""
    try:
        return {"name": map_.name, "elements": elements_json(map_)}
    except KernelError as error:
        return {"name": map_.name, "error": error.summary}


def elements_json(map_: Map) -> list[dict[str, object]]:
    """A map's elements; a value for each CPU is a list. Raises KernelError."""
    return [element_json(key, value) for key, value in map_.items()]


def element_json(key: Any, value: Any) -> dict[str, object]:
    """One element."""
    return {"key": plain(key), "value": plain(value)}


def _all_lines(map_: Map) -> Iterator[str]:
    for key, value in map_.items():
        yield from element_lines(key, value, is_per_cpu=map_.is_per_cpu)
