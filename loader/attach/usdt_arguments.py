"""The arguments of USDT probes: from what the compiler wrote (`-4@-20(%rbp)`) to how they are fetched.

An argument is SIZE@OPERAND, the size negative for signed values, the operand as the machine's assembly has it.
Offsets of registers are those in the kernel's struct pt_regs (user_pt_regs). Sources: SystemTap's document "User
Space Probe Implementation"; the kernel's asm/ptrace.h of each machine.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_COUNT = 12
"""Arguments that usdt.bpf.h has room for."""


class ArgumentKind(enum.IntEnum):
    """enum __bpf_usdt_arg_type: how an argument is fetched."""

    CONST = 0  # it is the offset
    REGISTER = 1
    DEREFERENCE = 2  # memory at register + offset
    INDEXED = 3  # memory at register + (index << shift) + offset


@dataclass(frozen=True, slots=True)
class UsdtArgument:
    """How to fetch an argument of `size` bytes; `register` and `index` are offsets in struct pt_regs."""

    size: int
    is_signed: bool
    kind: ArgumentKind
    offset: int = 0
    register: int = 0
    index: int = 0
    shift: int = 0


class UsdtArgumentError(ValueError):
    """An argument is written in a way that cannot be fetched; the text says why."""


@dataclass(frozen=True, slots=True)
class ArgumentForms:
    """How a machine's arguments look: the operand's forms by regular expression, and the registers.

    The groups of the expressions are named for what they are: const, register, base, offset, index, scale (a
    factor), shift, symbol. `instruction_pointer` is the register that addresses relative to the probe count from.
    """

    registers: Mapping[str, int]
    operands: tuple[re.Pattern[str], ...]
    instruction_pointer: str = ""


_NUMBER = r"[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+)"


def _forms(registers: Mapping[str, int], *operands: str, instruction_pointer: str = "") -> ArgumentForms:
    patterns = tuple(re.compile(rf"(?:{operand.replace('NUM', _NUMBER)})(?=\s|$)") for operand in operands)
    return ArgumentForms(registers, patterns, instruction_pointer)


def _x86_64_registers() -> dict[str, int]:
    places = {"bp": 32, "bx": 40, "ax": 80, "cx": 88, "dx": 96, "si": 104, "di": 112, "sp": 152}
    found = {f"{size}{name}": at for name, at in places.items() for size in ("r", "e", "")}
    for name, at in places.items():
        found[f"{name[0]}l" if name[1] == "x" else f"{name}l"] = at
        if name[1] == "x":
            found[f"{name[0]}h"] = at + 1  # the second byte
    for number in range(8, 16):
        place = 8 * (15 - number) if number >= 12 else 48 + 8 * (11 - number)
        found.update({f"r{number}{suffix}": place for suffix in ("", "d", "w", "b", "l")})
    return {**found, "rip": 128, "eip": 128}


def _riscv_registers() -> dict[str, int]:
    names = "pc ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
    found = {name: 8 * index for index, name in enumerate(names.split())}
    return {**found, "fp": found["s0"]}


def _arm_registers() -> dict[str, int]:
    named = {"sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}
    return {name: 4 * index for name, index in ({f"r{index}": index for index in range(16)} | named).items()}


_X86 = _forms(
    _x86_64_registers(),
    r"\$(?P<const>NUM)",
    r"%(?P<register>\w+)",
    r"(?P<offset>NUM)?\((?:%(?P<base>\w+))?(?:,\s*%(?P<index>\w+)(?:,\s*(?P<scale>[0-9]+))?)?\)",
    r"(?:(?P<symbol>[A-Za-z_.$][\w.$@]*))(?P<offset>[-+][0-9]+)?\(%rip\)",
    r"(?P<offset>[-+]?[0-9]+)?\+?(?P<symbol>[A-Za-z_.$][\w.$@]*)\(%rip\)",
    instruction_pointer="rip",
)
_ARM64 = _forms(
    {"sp": 248, "pc": 256}
    | {f"{size}{number}": 8 * number for number in range(31) for size in "xw"}
    | {"fp": 8 * 29, "lr": 8 * 30},
    r"#?(?P<const>NUM)",
    r"(?P<register>[a-z]\w*)",
    r"\[\s*(?P<base>\w+)\s*(?:,\s*#?(?P<offset>NUM)\s*)?\]",
    r"\[\s*(?P<base>\w+)\s*,\s*(?P<index>x\d+)\s*(?:,\s*lsl\s+#?(?P<shift>\d+)\s*)?\]",
)
FORMS: dict[tuple[str, int], ArgumentForms] = {
    # (the kernel's machine, e_machine of the binary); a 32-bit x86 process has its registers in those of 64 bits
    ("x86_64", 62): _X86,
    ("x86_64", 3): _X86,
    ("aarch64", 183): _ARM64,
    ("s390x", 22): _forms(
        {f"r{number}": 24 + 8 * number for number in range(16)},
        r"(?P<const>NUM)",
        r"%(?P<register>\w+)",
        r"(?P<offset>NUM)?\(\s*%(?P<base>\w+)\s*\)",
        r"(?P<offset>NUM)?\(\s*%(?P<index>\w+)\s*,\s*%(?P<base>\w+)\s*\)",
    ),
    ("riscv64", 243): _forms(
        _riscv_registers(),
        r"(?P<const>NUM)",
        r"(?P<register>[a-z]\w*)",
        r"(?P<offset>NUM)?\(\s*(?P<base>\w+)\s*\)",
    ),
    ("arm", 40): _forms(
        _arm_registers(),
        r"#?(?P<const>NUM)",
        r"(?P<register>[a-z]\w*)",
        r"\[\s*(?P<base>\w+)\s*(?:,\s*#?(?P<offset>NUM)\s*)?\]",
    ),
}
"""How arguments are written, by machine."""

_HEAD = re.compile(r"\s*(?P<size>-?[0-9]+)(?P<is_float>f?)@")
_SCALES = {"1": 0, "2": 1, "4": 2, "8": 3}


def parse_arguments(text: str, forms: ArgumentForms, distance: Callable[[str], int | None]) -> list[UsdtArgument]:
    """The arguments of a probe. `distance` says how far behind the probe a symbol lies, None for unknown ones.

    Raises UsdtArgumentError.
    """
    found: list[UsdtArgument] = []
    at = 0
    while text[at:].strip():
        head = _HEAD.match(text, at)
        operands = [pattern.match(text, head.end()) for pattern in forms.operands] if head else []
        operand = next((match for match in operands if match), None)
        if head is None or operand is None:
            raise UsdtArgumentError(f"argument {len(found)}, '{text[at:].strip()}', is of no known form")
        shown = operand.group(0)
        at = operand.end()
        size = int(head["size"])
        if head["is_float"]:
            raise UsdtArgumentError(f"argument {len(found)}, '{shown}', is a floating point number")
        if abs(size) not in (1, 2, 4, 8):
            raise UsdtArgumentError(f"argument {len(found)}, '{shown}', has {abs(size)} bytes, not 1, 2, 4 or 8")
        found.append(_argument(size, operand.groupdict(), shown, forms, distance))
    if len(found) > LARGEST_COUNT:
        raise UsdtArgumentError(f"it has {len(found)} arguments; there is room for {LARGEST_COUNT}")
    return found


def _argument(
    size: int,
    parts: dict[str, str | None],
    shown: str,
    forms: ArgumentForms,
    distance: Callable[[str], int | None],
) -> UsdtArgument:
    bytes_, is_signed = abs(size), size < 0
    offset = _number(parts.get("offset"))
    if (const := parts.get("const")) is not None:
        return UsdtArgument(bytes_, is_signed, ArgumentKind.CONST, _number(const))
    if (symbol := parts.get("symbol")) is not None:
        away = distance(symbol)
        if away is None:
            raise UsdtArgumentError(f"'{shown}' is at the symbol '{symbol}', which the file does not have")
        register = forms.registers[forms.instruction_pointer]
        return UsdtArgument(bytes_, is_signed, ArgumentKind.DEREFERENCE, away + offset, register)
    if (name := parts.get("register")) is not None:
        return UsdtArgument(bytes_, is_signed, ArgumentKind.REGISTER, 0, _register(name, shown, forms))
    base, index = parts.get("base"), parts.get("index")
    shift = _shift(parts, shown)
    if base is None and index is not None and not shift:
        base, index = index, None
    if base is None:
        raise UsdtArgumentError(f"'{shown}' has no base register")
    register = _register(base, shown, forms)
    if index is None:
        return UsdtArgument(bytes_, is_signed, ArgumentKind.DEREFERENCE, offset, register)
    place = _register(index, shown, forms)
    return UsdtArgument(bytes_, is_signed, ArgumentKind.INDEXED, offset, register, place, shift)


def _register(name: str, shown: str, forms: ArgumentForms) -> int:
    if name not in forms.registers:
        raise UsdtArgumentError(f"'{shown}' is in '{name}', which is none of the general registers")
    return forms.registers[name]


def _shift(parts: dict[str, str | None], shown: str) -> int:
    scale = parts.get("scale")
    if scale is not None and scale not in _SCALES:
        raise UsdtArgumentError(f"'{shown}' has the scale {scale}, not 1, 2, 4 or 8")
    return _SCALES[scale] if scale is not None else _number(parts.get("shift"))


def _number(text: str | None) -> int:
    """The value of a number in an operand; 0 for none."""
    if text is None:
        return 0
    digits = text.lstrip("+-")
    value = int(digits, 16 if digits[:2].lower() == "0x" else 10)
    return -value if text.startswith("-") else value
