"""What a loader did on the simulated machine, as text that a person reads and tests compare."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tests.loader.gen.machine.record import Closed, Event, Lookup, Refused

if TYPE_CHECKING:
    from tests.loader.gen.machine.record import Record

KINDS = {0: "kallsyms", 4: "STRUCT", 8: "TYPEDEF", 12: "FUNC", 14: "VAR"}
LONGEST_VALUE = 32
"""Bytes of a value that are shown."""

_LEFT_OUT = {
    "btf_key_type_id",
    "btf_value_type_id",
    "btf_size",
    "insn_cnt",
    "func_info_rec_size",
    "func_info_cnt",
    "line_info_rec_size",
    "line_info_cnt",
    "core_relo_rec_size",
    "core_relo_cnt",
}
"""Numbers that another compiler makes differently, or that say nothing new."""


def line(event: Event) -> str:
    """An event as a line, without what depends on the compiler's numbering of types."""
    if isinstance(event, Closed):
        return f"close {event.name}"
    if isinstance(event, Refused):
        return f"command {event.command} = EINVAL"
    if isinstance(event, Lookup):
        return f"find {KINDS[event.kind]} {event.name} = {_result(event.result)}"
    shown = [f"{key}={_value(key, value)}" for key, value in event.attributes.items() if key not in _LEFT_OUT]
    result = f" = {errno.errorcode[event.error]}" if event.error else f" = {event.result}" if event.result else ""
    return f"{' '.join([event.command, *shown])}{result}"


def text(events: list[Event]) -> str:
    """All events, a line for each."""
    return "".join(f"{line(event)}\n" for event in events)


def _result(number: int) -> str:
    return errno.errorcode[-number] if number < 0 else str(number)


def _value(name: str, value: Record) -> str:
    if name in ("btf", "license") and isinstance(value, bytes):
        return value.decode() if name == "license" else "…"
    if isinstance(value, tuple):
        return f"[{', '.join(_references(value)) or '…'}]"
    if isinstance(value, bytes):
        return value[:LONGEST_VALUE].hex() + ("…" if len(value) > LONGEST_VALUE else "")
    return str(value)


def _references(slots: tuple[object, ...]) -> list[str]:
    """The names that instructions have in their off and imm, each once."""
    found = [field for slot in slots if isinstance(slot, tuple) for field in slot if isinstance(field, str)]
    return list(dict.fromkeys(found))
