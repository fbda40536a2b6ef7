"""Where the objects of the kernel are pinned, for lists of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bpfas.loader.runtime.listing import list_pins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfas.loader.runtime.opening import ObjectKind


def pins_by_id(kind: ObjectKind) -> Mapping[int, Sequence[str]]:
    """The paths below /sys/fs/bpf at which objects of a kind are pinned, by their ids."""
    pins: defaultdict[int, list[str]] = defaultdict(list)
    for pin in list_pins():
        if pin.kind is kind:
            pins[pin.id].append(pin.path)
    return pins
