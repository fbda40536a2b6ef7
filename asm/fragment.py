"""Stretches of a section whose size depends on where things lie: alignment, LEB128, `.org`, repeated fillings.

While statements are read, a fragment has the size that the places known then give it. The layout
(`bpfas.asm.layout`) asks again until nothing changes; the contents are made last, and report what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.expression import Bound, ExpressionError, resolve
from bpfas.asm.symbol import display_name
from bpfas.leb128 import signed_leb128, unsigned_leb128

if TYPE_CHECKING:
    from bpfas.asm.section import SectionBuilder
    from bpfas.asm.statement import Node, Statement
    from bpfas.elf.constants import ByteOrder

JA_0 = bytes((0x05, 0, 0, 0, 0, 0, 0, 0))
"""`ja +0`, which code is padded with: an instruction that does nothing."""

SECTION_LIMIT = 1 << 30
"""Bytes that a section with contents may have; a slip in a repeat count shall not fill the memory."""

NOBITS_LIMIT = 1 << 62
"""Bytes that a section without contents may have."""


def only_zero(section: SectionBuilder) -> str:
    """What is wrong with other bytes in a section without contents."""
    return f"section `{section.name}` is @nobits, so its bytes can only be zero"


class FragmentError(ValueError):
    """A fragment that cannot have the size that its statement asks for, with the reason."""


@dataclass(eq=False, slots=True, kw_only=True)
class Fragment:
    """`read_size` bytes at `start` of what was read of a subsection; `size` bytes by the layout.

    `statement` and `node` are what errors are reported at. Where it lies is set when it is appended.
    """

    section: SectionBuilder = field(init=False)
    start: int = field(init=False)
    read_size: int = field(init=False)
    size: int = field(init=False, default=0)
    statement: Statement
    node: Node | None

    def wanted_size(self, position: int) -> int:
        """Bytes that it should have when it begins at `position` of its section.

        Raises ExpressionError or FragmentError.
        """
        raise NotImplementedError

    def contents(self) -> bytes:
        """Its `size` bytes."""
        raise NotImplementedError

    @property
    def is_zero(self) -> bool:
        """Whether all its bytes are zero, so that a section without contents may have it."""
        return not any(self.contents())

    @property
    def is_settled_by_place(self) -> bool:
        """Whether its size is right as soon as nothing in front of it changes."""
        return False


@dataclass(eq=False, slots=True, kw_only=True)
class AlignFragment(Fragment):
    """Padding up to a multiple of `alignment`, or none where it would be more than `most` bytes.

    `unit` is repeated in it; without one, code gets instructions that do nothing, and data zeros.
    """

    alignment: int
    unit: bytes | None
    most: int | None

    @property
    def is_zero(self) -> bool:
        """Known by the unit, for the size may be enormous."""
        return not (self.size and self.unit and any(self.unit))

    def wanted_size(self, position: int) -> int:
        """The gap."""
        gap = -position % self.alignment
        return 0 if self.most is not None and gap > self.most else gap

    def contents(self) -> bytes:
        """The units. Raises FragmentError where the gap is no whole number of them, as GNU as has it."""
        unit = self.unit
        if unit is None:
            is_whole = self.section.is_code and self.size % len(JA_0) == 0
            unit = JA_0 if is_whole else b"\0"
        if self.size % len(unit):
            raise FragmentError(
                f"the gap of {self.size} bytes cannot be filled with a value of {len(unit)} bytes, "
                "of which it is no multiple"
            )
        return unit * (self.size // len(unit))

    @property
    def is_settled_by_place(self) -> bool:
        """An alignment's is; whether whole units fill the gap is found when all sizes are settled."""
        return self.unit is None or len(self.unit) == 1


@dataclass(eq=False, slots=True, kw_only=True)
class Leb128Fragment(Fragment):
    """A number as LEB128. It never becomes shorter again, so that the layout comes to an end."""

    value: Bound
    is_signed: bool

    def wanted_size(self, position: int) -> int:  # noqa: ARG002
        """Bytes of the number, or as many as it had before."""
        return max(self.size, len(self._encoded(0)))

    def contents(self) -> bytes:
        """The number, padded to the size."""
        return self._encoded(self.size)

    def _encoded(self, size: int) -> bytes:
        return leb128(_number(self.value, "the value"), size, is_signed=self.is_signed)


def leb128(number: int, least: int = 1, *, is_signed: bool) -> bytes:
    """A number as LEB128, padded to `least` bytes.

    A negative one of 64 bits is taken for its bits where only unsigned ones are possible, as GNU as and LLVM do;
    for others FragmentError is raised.
    """
    if is_signed:
        return signed_leb128(number, least)
    if number < -(1 << 63):
        raise FragmentError(f"{number} is negative and does not fit in 64 bits; .sleb128 takes it")
    return unsigned_leb128(number & (1 << 64) - 1 if number < 0 else number, least)


@dataclass(eq=False, slots=True, kw_only=True)
class WideNumberFragment(Fragment):
    """A number in `width` bytes for which there is no relocation, so that it must be known in the end."""

    value: Bound
    width: int
    order: ByteOrder

    def wanted_size(self, position: int) -> int:  # noqa: ARG002
        """The width."""
        return self.width

    def contents(self) -> bytes:
        """The number. Raises ExpressionError where it is an address."""
        return _number(self.value, "the value").to_bytes(self.width, self.order.name_for_int, signed=True)


@dataclass(eq=False, slots=True, kw_only=True)
class OrgFragment(Fragment):
    """Filling up to a place in the same section, or to an offset."""

    target: Bound
    unit: bytes

    @property
    def is_zero(self) -> bool:
        """Known by the unit, for the size may be enormous."""
        return not (self.size and self.unit and any(self.unit))

    def wanted_size(self, position: int) -> int:
        """The gap."""
        value = resolve(self.target)
        target = value.constant
        if value.symbol is not None:
            if value.symbol.section is not self.section:
                raise FragmentError(
                    f"`{display_name(value.symbol)}` is not defined in this section (`{self.section.name}`)"
                )
            target += value.symbol.position
        if target < position:
            raise FragmentError(f".org {target} would go back from {position}")
        return checked_size(target - position, position, self.section)

    def contents(self) -> bytes:
        """The fill byte."""
        return self.unit * self.size


@dataclass(eq=False, slots=True, kw_only=True)
class FillFragment(Fragment):
    """`unit` as often as an expression says whose value was not known when it was read."""

    count: Bound
    unit: bytes

    @property
    def is_zero(self) -> bool:
        """Known by the unit, for the size may be enormous."""
        return not (self.size and self.unit and any(self.unit))

    def wanted_size(self, position: int) -> int:
        """The count times the unit."""
        count = _number(self.count, "the count")
        if count < 0:
            raise FragmentError(f"the count {count} is negative")
        return checked_size(count * len(self.unit), position, self.section)

    def contents(self) -> bytes:
        """The units."""
        return self.unit * (self.size // len(self.unit)) if self.unit else b""


def checked_size(size: int, used: int, section: SectionBuilder) -> int:
    """`size`, bytes to be added to the `used` ones of `section`. Raises FragmentError if they are too many."""
    limit = NOBITS_LIMIT if section.is_nobits else SECTION_LIMIT
    if used + size > limit:
        raise FragmentError(f"section `{section.name}` would get {size} more bytes; it may have {limit}")
    return size


def _number(value: Bound, what: str) -> int:
    resolved = resolve(value)
    if resolved.symbol is not None:
        raise ExpressionError(f"{what} must be a number, not the address of `{display_name(resolved.symbol)}`")
    return resolved.constant
