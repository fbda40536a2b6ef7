"""Parts of values, as `--set limits.low=3` and `--set sizes[2]=5` name them: the rest stays as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bpfas.btf.codecs import shown
from bpfas.btf.records import Record, UnionValue
from bpfas.diag import BpfasError
from bpfas.loader.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_STEPS = re.compile(rf"(?:{_STEP.pattern})+")


def set_part(variables: MutableMapping[str, Any], place: str, value: Any) -> None:
    """Give a variable, or a part of one, another value. Raises BpfasError."""
    for step in reversed([*_STEP.finditer(place)]):
        name, path = place[: step.start()], place[step.start() :]
        if name and name in variables and _STEPS.fullmatch(path):
            variables[name] = _with_part(name, variables[name], _STEP.findall(path), value)
            return
    variables[place] = value


def _with_part(name: str, whole: Any, path: Sequence[tuple[str, str]], value: Any) -> Any:
    """The value `whole`, which is called `name`, with another part at the end of `path`."""
    if not path:
        return value
    (member, index), *rest = path
    if member:
        if not isinstance(whole, Record | UnionValue):
            raise BpfasError.of(f"'{name}' is no struct or union with members: it is {shown(whole)}")
        members = whole._asdict()
        if member not in members:
            known = f"it has {', '.join(members)}"
            notes = did_you_mean(member, members) or (known,)
            raise BpfasError.of(f"'{name}' has no member '{member}'", None, notes)
        changed = _with_part(f"{name}.{member}", members[member], rest, value)
        return whole._replace(**{member: changed}) if isinstance(whole, Record) else {member: changed}
    if not isinstance(whole, tuple | bytes) or isinstance(whole, Record):
        raise BpfasError.of(f"'{name}' is no array with elements: it is {shown(whole)}")
    place = int(index)
    if place >= len(whole):
        raise BpfasError.of(f"'{name}' has {len(whole)} elements, from [0] on: there is no [{place}]")
    elements = list(whole)
    elements[place] = _with_part(f"{name}[{index}]", elements[place], rest, value)
    return elements
