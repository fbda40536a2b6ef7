"""The kernel's configuration for the variables of `.kconfig`, found out on the machine that loads.

What is set on `skel.kconfig` comes first, then lines given when the module was made, then the kernel's own
configuration. Source: the behaviour of libbpf.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import zlib
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.data_maps import DataMap
from bpfas.loader.gen.python.parts.kernel import LoadError, address_of, bpf, read_file, read_text
from bpfas.loader.gen.python.parts.values import Memory, packed_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

TRISTATE = {"n": 0, "y": 1, "m": 2}
SYSCALL_WRAPPERS = (
    "__x64_sys_bpf",
    "__ia32_sys_bpf",
    "__arm64_sys_bpf",
    "__s390x_sys_bpf",
    "__riscv_sys_bpf",
    "__powerpc_sys_bpf",
)
PROBE_LOAD, PROBE_TYPE, PROBE_LICENSE = 5, 5, b"GPL\0"  # BPF_PROG_LOAD of a program of type TRACEPOINT
COOKIE_PROBE = struct.pack("=BBhiBBhi", 0x85, 0, 0, 174, 0x95, 0, 0, 0)  # call bpf_get_attach_cookie; exit


class KconfigMemory(Memory):
    """Memory that remembers which places have been set."""

    __slots__ = ("given",)

    def __init__(self, buffer: Any) -> None:
        super().__init__(buffer)
        self.given: set[int] = set()

    def write(self, at: int, data: bytes) -> None:
        """Change some of the bytes."""
        super().write(at, data)
        self.given.add(at)


class KconfigMap(DataMap):
    """The map `.kconfig`; `kinds` say what its variables may hold (kind, sign, weakness).

    `text` has lines that come before what the kernel's configuration says.
    """

    def __init__(
        self,
        name: str,
        entry: int,
        size: int,
        values: Any,
        kinds: Mapping[str, tuple[str, bool, bool]],
        text: str,
        is_mapped: bool,
        is_fixed: bool = False,
    ) -> None:
        super().__init__(name, entry, bytes(size), values, is_mapped, is_frozen=True)
        self.memory: KconfigMemory = KconfigMemory(bytearray(size))
        self._kinds = kinds
        self._text = text
        self._is_fixed = is_fixed  # by the loader program

    def prepare(self, context: bytearray) -> None:
        """Find out what is not set, and give the loader program all values. Raises LoadError."""
        if self._is_fixed and not self.memory.given:
            return
        values = bytearray(self.memory.buffer)
        open_names = []
        for name in self._kinds:
            if self.values_type.fields[name][0] not in self.memory.given:
                open_names.append(name)
        if open_names:
            self._resolve(open_names, values)
        self._resolved = values  # the kernel reads it when the loader program runs
        struct.pack_into("=Q", context, self._entry + 8, address_of(values))

    def _resolve(self, names: list[str], values: bytearray) -> None:
        options = dict(assignments(self._text, names))
        facts = [name for name in names if name.startswith("LINUX_")]
        source = "the kernel's configuration is not known (/boot/config-RELEASE, /proc/config.gz)"
        if any(name not in options and name not in facts for name in names):
            text = kernel_configuration()
            if text is not None:
                source = "the kernel does not set it"
                options = {**dict(assignments(text, names)), **options}
        faults = []
        for name in names:
            kind, is_signed, is_weak = self._kinds[name]
            fact = kernel_fact(name) if name in facts and name not in options else None
            value = options.get(name, "") if fact is None else str(fact)
            if fact in (0, 1) and kind == "bool":
                value = "ny"[fact]
            offset, type_ = self.values_type.fields[name]
            if value:
                try:
                    data = option_value(value, kind, type_.size, is_signed)
                except ValueError as error:
                    faults.append(f"{name} is {value}, and {error}")
                else:
                    values[offset : offset + len(data)] = data
            elif not is_weak and name in facts:
                faults.append(f"{name} is nothing that is known of a kernel")
            elif not is_weak:
                faults.append(f"{name}: {source}; set it: skel.kconfig.{name} = ...")
        if faults:
            raise LoadError("find out the kernel's configuration", errno.ENODATA, "; ".join(faults))


def kernel_configuration() -> str | None:
    """The text of the running kernel's configuration; None where no file has it."""
    for path in (f"/boot/config-{os.uname().release}", "/proc/config.gz"):
        try:
            data = read_file(path)
            return (zlib.decompress(data, 47) if data[:2] == b"\x1f\x8b" else data).decode(errors="replace")
        except (OSError, zlib.error):
            continue
    return None


def assignments(text: str, names: list[str]) -> list[tuple[str, str]]:
    """The options among `names` that lines of `text` set; of several lines about one the first counts."""
    found = []
    for line in reversed(text.splitlines()):
        name, equals, value = line.partition("=")
        if equals and name in names:
            found.append((name, value))
    return found


def kernel_fact(name: str) -> int | None:
    """What is no option, but known of the running kernel."""
    if name == "LINUX_KERNEL_VERSION":
        return kernel_version()
    if name == "LINUX_HAS_BPF_COOKIE":
        return int(has_cookie())
    if name == "LINUX_HAS_SYSCALL_WRAPPER":
        symbols = read_text("/proc/kallsyms")
        return int(any(f" {symbol}\n" in symbols for symbol in SYSCALL_WRAPPERS))
    return None


def has_cookie() -> bool:
    """Whether programs may ask for their cookies: by a trial, else (without the right to) by the version."""
    places = (address_of(COOKIE_PROBE), address_of(PROBE_LICENSE))
    try:
        os.close(bpf(PROBE_LOAD, struct.pack("=IIQQ40x", PROBE_TYPE, len(COOKIE_PROBE) // 8, *places)))
    except OSError as error:
        return error.errno == errno.EPERM and kernel_version() >= 5 << 16 | 15 << 8
    return True


def kernel_version() -> int:
    """KERNEL_VERSION of the running kernel, of which Ubuntu and Debian say the upstream one elsewhere."""
    uname = os.uname()
    text = uname.release
    if " Debian " in uname.version:
        text = uname.version.partition(" Debian ")[2]
    try:
        words = read_text("/proc/version_signature").split()
        if len(words) >= 3 and words[0] == "Ubuntu":
            text = words[2]
    except OSError:
        pass
    numbers = [0, 0, 0]
    for index, part in enumerate(text.split(".")[:3]):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers[index] = int(digits or 0)
        if digits != part:
            break
    return numbers[0] << 16 | numbers[1] << 8 | min(numbers[2], 255)


def option_value(text: str, kind: str, size: int, is_signed: bool) -> bytes:
    """The bytes of an option's value as the variable has it. Raises ValueError where it cannot hold that."""
    if text in TRISTATE:
        if kind == "char":
            return text.encode()
        if kind != "tristate" and (kind != "bool" or text == "m"):
            raise ValueError(f"a variable of the kind {kind} cannot hold that")
        return TRISTATE[text].to_bytes(size, sys.byteorder)
    if text.startswith('"'):
        if kind != "string" or len(text) < 2 or not text.endswith('"'):
            raise ValueError(f"a variable of the kind {kind} cannot hold that")
        return text[1:-1].encode(errors="surrogateescape")[: size - 1].ljust(size, b"\0")
    if kind not in ("integer", "char"):
        raise ValueError(f"a variable of the kind {kind} cannot hold a number")
    digits = text.lstrip("+-")
    is_octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    number = int(text, 8 if is_octal else 0)
    if is_signed and 1 << 63 <= number < 1 << 64:
        number -= 1 << 64
    return packed_number(number, 8 * size, is_signed).to_bytes(size, sys.byteorder)
