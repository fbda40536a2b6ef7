"""Maps, programs and links of the kernel as the commands are told of them: `id:12`, a pinned path, or a name.

What has a slash is a path. Names are those that the kernel keeps, which has no more than 15 characters of them; a
longer name stands for what begins like it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from bpfas.diag import BpfasError
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.cli.messages import NotThereError
from bpfas.loader.kinds import map_type_name, program_type_name
from bpfas.loader.nearest import nearest
from bpfas.loader.runtime.listing import list_maps, list_programs
from bpfas.loader.runtime.maps import Map
from bpfas.loader.runtime.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bpfas.loader.syscall import MapInfo, ProgramInfo

_Info = TypeVar("_Info", "MapInfo", "ProgramInfo")

_ID_PREFIX = "id:"
_KERNEL_NAME_LENGTH = 15

FORMS = "id:N, the path of a pin, or a name"
"""What messages and helps say of the forms."""


def open_map(reference: str) -> Map:
    """The map of an id, pin or name, for the caller to close. Raises KernelError and BpfasError."""
    if _is_path(reference):
        return Map.from_pin(reference)
    return Map.from_id(
        _number(reference) if _is_id(reference) else _named(reference, "map", list_maps, map_type_name)
    )


def open_program(reference: str) -> Program:
    """The program of an id, pin or name, for the caller to close. Raises KernelError and BpfasError."""
    if _is_path(reference):
        return Program.from_pin(reference)
    if _is_id(reference):
        return Program.from_id(_number(reference))
    return Program.from_id(_named(reference, "program", list_programs, program_type_name))


def open_link(reference: str) -> KernelLink:
    """The link of an id or a pin, for the caller to close; links have no names. Raises AttachError, BpfasError."""
    if _is_path(reference):
        return KernelLink.open_pinned(reference)
    if not _is_id(reference):
        raise BpfasError.of(f"'{reference}' is no link: give id:N or the path of a pin")
    return KernelLink.open_by_id(_number(reference))


def _is_path(reference: str) -> bool:
    return "/" in reference


def _is_id(reference: str) -> bool:
    return reference.startswith(_ID_PREFIX)


def _number(reference: str) -> int:
    digits = reference.removeprefix(_ID_PREFIX)
    if not (digits.isascii() and digits.isdecimal()):
        raise BpfasError.of(f"'{reference}' is no id: id: takes a decimal number")
    return int(digits)


def _named(name: str, what: str, listed: Callable[[], Sequence[_Info]], type_name: Callable[[int], str]) -> int:
    """The id of the only one of this name."""
    everything = listed()
    found = [info for info in everything if info.name == name[:_KERNEL_NAME_LENGTH]]
    if len(found) == 1:
        return found[0].id
    if not found:
        near = nearest(name, {info.name for info in everything})
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise NotThereError.of(
            f"there is no {what} called '{name}' in the kernel{hint}",
            None,
            (f"bpf-load {_LISTS[what]} lists them",),
        )
    candidates = ", ".join(f"{_ID_PREFIX}{info.id} ({type_name(info.type)})" for info in found)
    raise BpfasError.of(f"{len(found)} {what}s are called '{name}': {candidates}", None, ("say which by its id",))


_LISTS = {"map": "maps", "program": "progs"}
