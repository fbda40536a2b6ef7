"""What the kernel of the simulated machine records: calls of bpf(), look-ups, descriptors that are closed."""

from __future__ import annotations

from typing import NamedTuple


class Loaded(NamedTuple):
    """A slot of a program as it was loaded; descriptors in off and imm are names."""

    code: int
    dst: int
    src: int
    off: int | str
    imm: int | str


Record = int | str | bytes | tuple[Loaded, ...] | tuple[tuple[int, ...], ...]
"""What an attribute is recorded as."""


class BpfCall(NamedTuple):
    """A call of bpf(): its attributes that are not 0, with what they point to; a descriptor's name or an errno."""

    command: str
    attributes: dict[str, Record]
    result: str
    error: int = 0


class Lookup(NamedTuple):
    """A name looked up in BTF (by its kind) or in kallsyms (kind 0); the result as the helper gave it."""

    name: str
    kind: int
    result: int


class Closed(NamedTuple):
    """A descriptor that was closed."""

    name: str


class Refused(NamedTuple):
    """A call of bpf() with a command that programs may not call, which some do where there is nothing to do."""

    command: int


Event = BpfCall | Lookup | Closed | Refused


class MapFacts(NamedTuple):
    """What a fake map is, and whether it is frozen."""

    map_type: int
    key_size: int
    value_size: int
    max_entries: int = 0


class Descriptor:
    """Something open: `kind` is map, program, btf, module or another; module BTF knows its module's name."""

    def __init__(self, kind: str, name: str, facts: MapFacts | None = None) -> None:
        self.kind = kind
        self.name = name
        self.facts = facts
        self.is_frozen = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()
