"""What variables of `.kconfig` get out of configurations."""

from __future__ import annotations

import struct

import pytest

from bpfas.diag import Diagnostics, Severity
from bpfas.elf.constants import ByteOrder
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.kconfig import kconfig_contents
from bpfas.loader.spec import KconfigKind, KconfigVariable

BOOL, CHAR, INTEGER, TRISTATE, STRING = (
    KconfigKind.BOOL,
    KconfigKind.CHAR,
    KconfigKind.INTEGER,
    KconfigKind.TRISTATE,
    KconfigKind.STRING,
)
SIZES = {BOOL: 1, CHAR: 1, INTEGER: 4, TRISTATE: 4, STRING: 8}


def variable(
    kind: KconfigKind,
    size: int = 0,
    name: str = "CONFIG_X",
    *,
    is_signed: bool = False,
    is_weak: bool = False,
    offset: int = 0,
) -> KconfigVariable:
    return KconfigVariable(name, kind, offset, size or SIZES[kind], is_signed, is_weak)


def contents(
    wanted: KconfigVariable, user_text: str | None, kernel: DescribedKernel | None = None
) -> tuple[bytes, str]:
    """The value of a map with one variable, and what is reported."""
    diagnostics = Diagnostics()
    kernel = kernel or DescribedKernel(release="6.1.5")
    value = kconfig_contents([wanted], wanted.size, kernel, user_text, diagnostics, order=ByteOrder.LITTLE)
    return value, "\n".join(item.render() for item in diagnostics.items)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (BOOL, "y", b"\1"),
        (BOOL, "n", b"\0"),
        (TRISTATE, "n", b"\0\0\0\0"),
        (TRISTATE, "y", b"\1\0\0\0"),
        (TRISTATE, "m", b"\2\0\0\0"),
        (CHAR, "y", b"y"),
        (CHAR, "m", b"m"),
        (CHAR, "65", b"A"),
        (INTEGER, "250", b"\xfa\0\0\0"),
        (INTEGER, "0x10", b"\x10\0\0\0"),
        (INTEGER, "010", b"\x08\0\0\0"),
        (INTEGER, "+7", b"\7\0\0\0"),
        (STRING, '"abc"', b"abc\0\0\0\0\0"),
        (STRING, '""', bytes(8)),
        (STRING, r'"a\"b"', b'a\\"b\0\0\0\0'),
        (STRING, '"1234567"', b"1234567\0"),
    ],
)
def test_values_of_each_kind(kind: KconfigKind, value: str, expected: bytes) -> None:
    assert contents(variable(kind), f"CONFIG_X={value}\n") == (expected, "")


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (BOOL, "m", "cannot hold the letter m"),
        (BOOL, "1", "cannot hold a number"),
        (BOOL, '"y"', "cannot hold text"),
        (TRISTATE, "2", "cannot hold a number"),
        (INTEGER, "y", "cannot hold the letter y"),
        (INTEGER, '"1"', "cannot hold text"),
        (INTEGER, "12a", "no number"),
        (INTEGER, "1_0", "no number"),
        (INTEGER, "0x", "no number"),
        (INTEGER, "08", "octal"),
        (INTEGER, "yes", "no number, nor y, n, m"),
        (INTEGER, "0x10000000000000000", "more than 64 bits"),
        (STRING, "y", "cannot hold the letter y"),
        (STRING, '"abc', "no closing quote"),
        (STRING, '"', "no closing quote"),
    ],
)
def test_values_that_a_variable_cannot_hold(kind: KconfigKind, value: str, words: str) -> None:
    _, report = contents(variable(kind), f"\nCONFIG_X={value}")
    assert words in report
    assert report.startswith("kconfig:2: error: ")
    assert "the program declares it as" in report


@pytest.mark.parametrize(
    ("size", "is_signed", "value", "fits"),
    [
        (1, True, 127, True),
        (1, True, 128, False),
        (1, True, -128, True),
        (1, True, -129, False),
        (1, False, 255, True),
        (1, False, 256, False),
        (1, False, -1, False),
        (2, True, -32768, True),
        (2, True, 32768, False),
        (2, False, 65535, True),
        (4, True, -(1 << 31), True),
        (4, True, 1 << 31, False),
        (4, False, (1 << 32) - 1, True),
        (4, False, 1 << 32, False),
        (8, True, (1 << 64) - 1, True),
        (8, False, -1, True),
    ],
)
def test_numbers_fit_their_size(size: int, is_signed: bool, value: int, fits: bool) -> None:
    found, report = contents(variable(INTEGER, size, is_signed=is_signed), f"CONFIG_X={value}")
    assert (not report) is fits
    if fits:
        assert int.from_bytes(found, "little") == value % (1 << 8 * size)
    else:
        assert f"is {value}: it is not from" in report


def test_text_that_is_too_long_is_cut_with_a_warning() -> None:
    diagnostics = Diagnostics()
    value = kconfig_contents(
        [variable(STRING, 4)], 4, DescribedKernel(), 'CONFIG_X="abcd"', diagnostics, order=ByteOrder.LITTLE
    )
    assert value == b"abc\0"
    assert [item.severity for item in diagnostics.items] == [Severity.WARNING]


def test_the_user_comes_before_the_kernel_and_the_first_line_before_the_next() -> None:
    kernel = DescribedKernel(config=("CONFIG_X=1\nCONFIG_Y=2\nCONFIG_Y=3\n", "config"))
    diagnostics = Diagnostics()
    variables = [variable(INTEGER), variable(INTEGER, name="CONFIG_Y", offset=4)]
    value = kconfig_contents(variables, 8, kernel, "CONFIG_X=9\nCONFIG_X=10", diagnostics, order=ByteOrder.BIG)
    assert struct.unpack(">II", value) == (9, 2)
    assert not diagnostics.items


def test_comments_and_options_that_nothing_asks_for_are_passed_over() -> None:
    text = "# a comment\n\n  CONFIG_X=1\nX=1\nCONFIG_OTHER=~\n# CONFIG_X is not set\nCONFIG_X=5\n"
    assert contents(variable(INTEGER), text) == (b"\5\0\0\0", "")


@pytest.mark.parametrize(
    ("line", "words"), [("CONFIG_Z", "does not set an option"), ("CONFIG_Z=", "is set to nothing")]
)
def test_lines_of_the_user_that_set_nothing_are_errors(line: str, words: str) -> None:
    _, report = contents(variable(INTEGER), f"CONFIG_X=1\n{line}\n")
    assert report.startswith("kconfig:2: error: ")
    assert words in report


def test_weak_options_that_nothing_sets_are_zero() -> None:
    weak = variable(INTEGER, is_weak=True)
    assert contents(weak, None) == (bytes(4), "")
    assert contents(weak, "", DescribedKernel(config=("CONFIG_Y=1", "config"))) == (bytes(4), "")


def test_strong_options_that_nothing_sets_are_errors() -> None:
    _, report = contents(variable(INTEGER), None, DescribedKernel(config=("CONFIG_Y=1", "some/config")))
    assert report.startswith("some/config: error: the kernel does not set 'CONFIG_X'")
    _, report = contents(variable(INTEGER), None)
    assert "'CONFIG_X' is not known, for the kernel's configuration is not" in report


def test_names_that_are_no_options_are_errors() -> None:
    _, report = contents(variable(INTEGER, name="HZ"), "HZ=1")
    assert "'HZ' is no option of a kernel" in report


@pytest.mark.parametrize(
    ("name", "release", "value"),
    [
        ("LINUX_KERNEL_VERSION", "6.1.300", 0x0601FF),
        ("LINUX_HAS_BPF_COOKIE", "5.15.0", 1),
        ("LINUX_HAS_BPF_COOKIE", "5.14.0", 0),
        ("LINUX_HAS_SYSCALL_WRAPPER", "5.0.0", 1),
    ],
)
def test_what_loaders_know_of_the_kernel(name: str, release: str, value: int) -> None:
    found = contents(variable(INTEGER, name=name), None, DescribedKernel(release=release))
    assert found == (value.to_bytes(4, "little"), "")


def test_a_bool_may_say_whether_the_kernel_has_something() -> None:
    wanted = variable(BOOL, name="LINUX_HAS_BPF_COOKIE")
    assert contents(wanted, None, DescribedKernel(release="6.0")) == (b"\1", "")
    _, report = contents(variable(BOOL, name="LINUX_KERNEL_VERSION"), None)
    assert "is 0x60105: a bool cannot hold that" in report
    _, report = contents(variable(STRING, name="LINUX_HAS_BPF_COOKIE"), None)
    assert "a string cannot hold that" in report


def test_a_version_that_is_not_known_is_an_error() -> None:
    _, report = contents(variable(INTEGER, name="LINUX_KERNEL_VERSION"), None, DescribedKernel(name="a.btf"))
    assert report.startswith("a.btf: error: the kernel's version")


def test_a_version_that_is_not_known_is_zero_if_weak() -> None:
    wanted = variable(INTEGER, name="LINUX_KERNEL_VERSION", is_weak=True)
    assert contents(wanted, None, DescribedKernel(name="a.btf")) == (bytes(4), "")


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        (INTEGER, "LINUX_KERNEL_VERSION", "0x60105", b"\5\1\6\0"),
        (BOOL, "LINUX_HAS_BPF_COOKIE", "y", b"\1"),
        (BOOL, "LINUX_HAS_BPF_COOKIE", "n", b"\0"),
    ],
)
def test_what_is_no_option_may_be_said_as_options_are(
    kind: KconfigKind, name: str, value: str, expected: bytes
) -> None:
    assert contents(variable(kind, name=name), f"{name}={value}\n") == (expected, "")
    assert contents(variable(kind, name=name), f"{name}={value}\n", DescribedKernel()) == (expected, "")


def test_other_things_that_loaders_might_know_are_zero_if_weak() -> None:
    assert contents(variable(INTEGER, name="LINUX_HAS_SPELL", is_weak=True), None) == (bytes(4), "")
    _, report = contents(variable(INTEGER, name="LINUX_HAS_BPF_COKIE"), None)
    assert "did you mean LINUX_HAS_BPF_COOKIE?" in report
