"""Floating-point numbers: their spellings in assembly, and their bits, rounded once and to even (IEEE 754).

Spellings are those of C, decimal and hexadecimal (`0x1.8p3`), and GNU as's with a letter behind a 0 that says no
more than that this is such a number (`0f1.5`, `0e1.5`, `0d1.5`; GNU as manual, "Flonums").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction


class FloatError(ValueError):
    """A text that spells no floating-point number, with the reason."""


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A binary format of IEEE 754 by the widths of its fields, in bits."""

    exponent_bits: int
    fraction_bits: int

    @property
    def width(self) -> int:
        """Bytes."""
        return (1 + self.exponent_bits + self.fraction_bits) // 8

    @property
    def least_exponent(self) -> int:
        """Of a normal number."""
        return 2 - (1 << self.exponent_bits - 1)

    @property
    def infinity(self) -> int:
        """The bits of infinity; anything more is no number."""
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    @property
    def sign(self) -> int:
        """The bit that makes a number negative."""
        return 1 << self.exponent_bits + self.fraction_bits

    @property
    def bounds(self) -> str:
        """The least and the greatest positive number, for a message."""
        greatest = (2 - 2**-self.fraction_bits) * 2.0 ** (1 - self.least_exponent)
        return f"{2.0 ** (self.least_exponent - self.fraction_bits):.5g} to {greatest:.5g}"

    def bits(self, magnitude: Fraction) -> int:
        """The bits of the nearest number that is not negative; of infinity for what rounds beyond all numbers."""
        exponent = self.least_exponent
        if magnitude:
            exponent = max(exponent, _binary_exponent(magnitude))
        significand = round(magnitude / Fraction(2) ** (exponent - self.fraction_bits))
        # The leading bit of a normal number's significand counts the exponent up by one, as its encoding has it.
        return min((exponent - self.least_exponent << self.fraction_bits) + significand, self.infinity)

    def special_bits(self, name: str) -> int | None:
        """The bits of `inf`, `nan` and the like, in any case of letters, as in GNU as; None for other names."""
        fraction = (1 << self.fraction_bits) - 1
        match name.lower():
            case "inf" | "infinity":
                return self.infinity
            case "nan" | "qnan":
                return self.infinity | fraction
            case "snan":
                return self.infinity | fraction >> 1
        return None


SINGLE = FloatFormat(8, 23)
DOUBLE = FloatFormat(11, 52)

_NUMBER = re.compile(
    r"""0[xX](?P<hexadecimal>[0-9a-fA-F]*)(?:\.(?P<hexadecimal_fraction>[0-9a-fA-F]*))?
        (?P<binary_exponent>[pP][-+]?[0-9]*)?
    | (?:0[ac-wyzAC-WYZ](?P<sign>[-+]?))?
        (?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?P<exponent>[eE][-+]?[0-9]*)?""",
    re.VERBOSE,
)

_LONGEST = 4000
"""Characters of a number; Python converts no more than 4,300 digits, and an exact double has up to 1,078."""

_GREATEST_EXPONENT = 20_000
"""Beyond this every number of _LONGEST characters is infinite or zero."""


def parse_float(text: str) -> tuple[bool, Fraction]:
    """Whether the number that `text` spells is negative, and its magnitude. Raises FloatError."""
    if len(text) > _LONGEST:
        raise FloatError(f"a floating-point number may have {_LONGEST} characters, not {len(text)}")
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise FloatError(f"{text} is no floating-point number")
    if match["hexadecimal"] is not None:
        return False, _hexadecimal(text, match)
    digits = match["whole"] + (match["fraction"] or "")
    if not digits:
        raise FloatError(f"{text} has no digits")
    exponent = _exponent(text, match["exponent"]) - len(match["fraction"] or "")
    return match["sign"] == "-", _scaled(int(digits), 10, exponent)


def _hexadecimal(text: str, match: re.Match[str]) -> Fraction:
    digits = match["hexadecimal"] + (match["hexadecimal_fraction"] or "")
    if not digits:
        raise FloatError(f"{text} has no digits")
    if match["binary_exponent"] is None:
        raise FloatError(f"{text} has no exponent; a hexadecimal floating-point number ends as in {text}p0")
    exponent = _exponent(text, match["binary_exponent"]) - 4 * len(match["hexadecimal_fraction"] or "")
    return _scaled(int(digits, 16), 2, exponent)


def _exponent(text: str, part: str | None) -> int:
    if part is None:
        return 0
    if not part[-1].isdigit():
        raise FloatError(f"{text} has no digits in its exponent")
    return int(part[1:])


def _scaled(digits: int, base: int, exponent: int) -> Fraction:
    return digits * Fraction(base) ** max(-_GREATEST_EXPONENT, min(exponent, _GREATEST_EXPONENT))


def _binary_exponent(magnitude: Fraction) -> int:
    """The e for which 2^e <= magnitude < 2^(e+1)."""
    estimate = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return estimate if magnitude >= Fraction(2) ** estimate else estimate - 1
