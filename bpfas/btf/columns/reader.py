"""Reading of many types: `bpfas.btf.reader` for large inputs.

Records are found by the sizes that they would have at every word, so that only their starts are walked from one to
the next. Rules are checked on columns; what breaks one goes to `bpfas.btf.checks`, which says what is wrong.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from bpfas.btf.columns.checks import suspects
from bpfas.btf.columns.table import Table, lots_of
from bpfas.btf.kinds import ENTRY_WORDS, FIXED_WORDS, MAX_VLEN, UNKNOWN_INFO_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.btf.columns.table import Words

_TOO_LONG = 1 << 29
_KINDS = 32

_FIXED = np.full(_KINDS, _TOO_LONG, np.int32)
_FIXED[1 : len(FIXED_WORDS)] = FIXED_WORDS[1:]
_EACH = np.zeros(_KINDS, np.int32)
_EACH[: len(ENTRY_WORDS)] = ENTRY_WORDS


def scanned(words: Sequence[array[int]]) -> Iterator[tuple[array[int], bytes] | None]:
    """For the words of each object the starts and kinds of its types, as Btf has them; None if records are bad."""
    for begin, end in lots_of([len(of_unit) for of_unit in words]):
        lot = words[begin:end]
        joined: Words = np.concatenate([np.frombuffer(of_unit, np.uint32) for of_unit in lot])
        kinds = (joined >> np.uint32(24)).astype(np.uint8) & np.uint8(_KINDS - 1)
        sizes = _EACH[kinds] * (joined & np.uint32(MAX_VLEN)).astype(np.int32)
        sizes += _FIXED[kinds]
        sizes[joined & np.uint32(UNKNOWN_INFO_BITS) != 0] = _TOO_LONG
        # A record's size is told by its second word.
        steps = array("i", sizes[1:].tobytes())
        steps.append(_TOO_LONG)
        base = 0
        for of_unit in lot:
            stop = base + len(of_unit)
            starts = array("I")
            at = base
            add = starts.append
            while at < stop:
                add(at)
                at += steps[at]
            if at == stop:
                found = np.frombuffer(starts, np.uint32)
                relative = array("I", bytes(4) + (found - np.uint32(base)).tobytes())
                relative.append(len(of_unit))
                yield relative, b"\0" + kinds[found + np.uint32(1)].tobytes()
            else:
                yield None
            base = stop


def suspicious(units: Sequence[Btf]) -> Iterator[tuple[Btf, list[int]]]:
    """The objects that `bpfas.btf.checks` has to look at, and the types of each that it has to."""
    units = [btf for btf in units if len(btf)]
    for begin, end in lots_of([len(btf.words) for btf in units]):
        yield from suspects(Table.of_units(units[begin:end]), units[begin:end])
