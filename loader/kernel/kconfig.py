"""The contents of the map `.kconfig`: a kernel's configuration, as the variables of a program ask for it.

What the user says of an option comes before what the kernel's own configuration says, and of several lines about
an option the first counts. Source: the behaviour of libbpf.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bpfas.elf.constants import HOST_ORDER
from bpfas.loader.kernel.features import Feature
from bpfas.loader.nearest import close_matches
from bpfas.loader.spec import KconfigKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.kernel.kernel import Kernel
    from bpfas.loader.spec import KconfigVariable

OPTION_PREFIX = "CONFIG_"
_VIRTUAL_PREFIX = "LINUX_"
_USER_TEXT = "kconfig"  # how messages call what the user says
_TRISTATE = {"n": 0, "y": 1, "m": 2}
_NUMBER = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)")
_VIRTUAL: dict[str, Callable[[Kernel], int]] = {
    "LINUX_KERNEL_VERSION": lambda kernel: kernel.version,
    "LINUX_HAS_BPF_COOKIE": lambda kernel: int(kernel.has(Feature.BPF_COOKIE)),
    "LINUX_HAS_SYSCALL_WRAPPER": lambda kernel: int(kernel.has(Feature.SYSCALL_WRAPPER)),
}
"""What is no option, but known of the kernel."""


class _ValueError(Exception):
    """A value that a variable cannot hold; the text says why."""


def kconfig_contents(
    variables: Sequence[KconfigVariable],
    size: int,
    kernel: Kernel,
    user_text: str | None,
    diagnostics: Diagnostics,
    *,
    order: ByteOrder = HOST_ORDER,
) -> bytes:
    """`size` bytes, the value of a map `.kconfig` with these variables.

    `user_text` has lines as a configuration file has them, and need not be complete; lines in it that set nothing
    are errors even where no variable asks for them. Weak variables of which nothing is known are 0. What is wrong
    goes to `diagnostics`, and the result is then not to be used.
    """
    contents = _Contents(size, order, diagnostics)
    options: dict[str, KconfigVariable] = {}
    for variable in variables:
        if variable.name.startswith(_VIRTUAL_PREFIX):
            _fill_virtual(variable, kernel, contents)
        else:
            options[variable.name] = variable
    if user_text is not None:
        _fill_options(options, _assignments(user_text, _USER_TEXT, diagnostics), contents)
    found = kernel.config() if options.keys() - contents.known else None
    if found is not None:
        text, source = found
        wanted = "\n".join(line for line in text.splitlines() if line.partition("=")[0] in options)
        _fill_options(options, _assignments(wanted, source, diagnostics, with_lines=False), contents)
    for name, variable in options.items():
        if name not in contents.known and not variable.is_weak:
            _report_unknown(name, kernel, found[1] if found else None, diagnostics)
    return bytes(contents.data)


class _Contents:
    """The map's value as far as it is known; `known` are the names of the variables that have theirs."""

    def __init__(self, size: int, order: ByteOrder, diagnostics: Diagnostics) -> None:
        self.data = bytearray(size)
        self.known: set[str] = set()
        self.diagnostics = diagnostics
        self._order = order

    def set_bytes(self, variable: KconfigVariable, value: bytes) -> None:
        self.data[variable.offset : variable.offset + len(value)] = value

    def set_number(self, variable: KconfigVariable, value: int) -> None:
        """Write a number of 64 bits; raises _ValueError if the variable is too small for it."""
        bits = 8 * variable.size
        if bits < 64 and not _fits(value, bits, is_signed=variable.is_signed):
            low, high = (-(1 << bits - 1), 1 << bits - 1) if variable.is_signed else (0, 1 << bits)
            raise _ValueError(f"it is not from {low} to {high - 1}, which is what {variable.size} bytes can hold")
        value &= (1 << bits) - 1
        self.set_bytes(variable, value.to_bytes(variable.size, self._order.name_for_int))


def _fits(value: int, bits: int, *, is_signed: bool) -> bool:
    """Whether a number of 64 bits, of which a negative one is the complement, is one of `bits` bits."""
    if is_signed:
        return (value + (1 << bits - 1)) % (1 << 64) < 1 << bits
    return not value >> bits


def _fill_virtual(variable: KconfigVariable, kernel: Kernel, contents: _Contents) -> None:
    name, diagnostics = variable.name, contents.diagnostics
    if name not in _VIRTUAL:
        if not variable.is_weak:
            near = close_matches(name, _VIRTUAL)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_VIRTUAL)}"
            diagnostics.error(f"'{name}' says nothing that is known of a kernel", _USER_TEXT, (hint,))
        return
    value = _VIRTUAL[name](kernel)
    if name == "LINUX_KERNEL_VERSION" and not value:
        message = "the kernel's version, which the program asks for (LINUX_KERNEL_VERSION), is not known"
        diagnostics.error(message, kernel.name, ("say which release the kernel is",))
        return
    try:
        if variable.kind is KconfigKind.BOOL and value > 1:
            raise _ValueError("a bool cannot hold that")
        if variable.kind in {KconfigKind.TRISTATE, KconfigKind.STRING}:
            raise _ValueError(f"a {variable.kind.value} cannot hold that")
        contents.set_number(variable, value)
    except _ValueError as error:
        diagnostics.error(f"'{name}' is {value:#x}: {error}", kernel.name, ("declare it as int",))
    contents.known.add(name)


def _assignments(
    text: str, source: str, diagnostics: Diagnostics, *, with_lines: bool = True
) -> Iterator[tuple[str, str, str]]:
    """The place, the option and the value of each line that sets an option; the others are comments."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.startswith(OPTION_PREFIX):
            continue
        place = f"{source}:{number}" if with_lines else source
        name, equals, value = line.partition("=")
        if not equals:
            diagnostics.error(f"'{line}' does not set an option", place, (f"write {name.strip()}=VALUE",))
        elif not value:
            diagnostics.error(f"'{name}' is set to nothing", place, ('write y, n, m, a number or "TEXT"',))
        else:
            yield place, name, value


def _fill_options(
    options: dict[str, KconfigVariable], assignments: Iterator[tuple[str, str, str]], contents: _Contents
) -> None:
    for place, name, value in assignments:
        variable = options.get(name)
        if variable is None or name in contents.known:
            continue
        contents.known.add(name)
        try:
            _set_option(variable, value, place, contents)
        except _ValueError as error:
            contents.diagnostics.error(f"'{name}' is {value}: {error}", place, (_DECLARATIONS[variable.kind],))


_DECLARATIONS = {
    KconfigKind.BOOL: "the program declares it as bool, which takes y or n",
    KconfigKind.CHAR: "the program declares it as char, which takes y, n, m or a small number",
    KconfigKind.INTEGER: "the program declares it as an integer, which takes a number",
    KconfigKind.TRISTATE: "the program declares it as enum libbpf_tristate, which takes y, n or m",
    KconfigKind.STRING: 'the program declares it as an array of char, which takes "TEXT"',
}


def _set_option(variable: KconfigVariable, value: str, place: str, contents: _Contents) -> None:
    """Write the value of an option into its variable; raises _ValueError if the variable is not of its kind."""
    if value in _TRISTATE:
        _set_letter(variable, value, contents)
    elif value.startswith('"'):
        if variable.kind is not KconfigKind.STRING:
            raise _ValueError("it cannot hold text")
        if len(value) == 1 or not value.endswith('"'):
            raise _ValueError("the text has no closing quote")
        text = value[1:-1].encode(errors="surrogateescape")
        if len(text) >= variable.size:
            message = (
                f"'{variable.name}' is cut to {variable.size - 1} of its {len(text)} bytes, for the program's "
                f"array has {variable.size}"
            )
            contents.diagnostics.warning(message, place)
        contents.set_bytes(variable, text[: variable.size - 1])
    else:
        number = _parse_number(value)
        if variable.kind not in {KconfigKind.INTEGER, KconfigKind.CHAR}:
            raise _ValueError("it cannot hold a number")
        contents.set_number(variable, number)


def _set_letter(variable: KconfigVariable, letter: str, contents: _Contents) -> None:
    """Write y, n or m."""
    match variable.kind:
        case KconfigKind.CHAR:
            contents.set_bytes(variable, letter.encode())
        case KconfigKind.TRISTATE:
            contents.set_number(variable, _TRISTATE[letter])
        case KconfigKind.BOOL if letter != "m":
            contents.set_number(variable, _TRISTATE[letter])
        case _:
            raise _ValueError(f"it cannot hold the letter {letter}")


def _parse_number(text: str) -> int:
    """A number as C writes it, of 64 bits; a negative one becomes its complement."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise _ValueError("that is no number, nor y, n, m or text in quotes")
    sign, digits = match.groups()
    try:
        magnitude = int(digits, 16 if digits[1:2] in {"x", "X"} else 8 if digits[0] == "0" else 10)
    except ValueError:
        raise _ValueError("a number that begins with 0 is octal") from None
    if magnitude >> 64:
        raise _ValueError("the number has more than 64 bits")
    return -magnitude % (1 << 64) if sign == "-" else magnitude


def _report_unknown(name: str, kernel: Kernel, source: str | None, diagnostics: Diagnostics) -> None:
    remedies = [
        "declare it weak if the program can do without, or give its value, NAME=VALUE, in a file for --kconfig"
    ]
    if not name.startswith(OPTION_PREFIX):
        message = f"'{name}' is no option of a kernel"
        remedies = [f"their names begin with {OPTION_PREFIX}"]
    elif source is not None:
        message = f"the kernel does not set '{name}'"
    else:
        message = f"'{name}' is not known, for the kernel's configuration is not"
        if kernel.is_running:
            looked = f"it was looked for in /boot/config-{kernel.release} and /proc/config.gz"
            remedies.insert(0, f"{looked}; a kernel with CONFIG_IKCONFIG_PROC=y has it")
    diagnostics.error(message, source or kernel.name, tuple(remedies))
