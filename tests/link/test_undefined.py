"""Names that nobody defines: which of them are errors, and what is said."""

from __future__ import annotations

import struct

import pytest

from bpfas.diag import Diagnostics
from bpfas.elf.constants import SymbolBinding
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Unresolved
from bpfas.objfile import ObjectFile, Relocation, Section, SpecialSection, Symbol
from tests.link.builders import (
    ABS32,
    CALL,
    EXIT,
    call,
    code,
    extern,
    glob,
    link_errors,
    obj,
    relocated,
    section_symbol,
    symbol_of,
    weak,
)

REMEDY = (
    ">>> link the object or archive that defines it; or leave it to the loader: declare it __weak, or __ksym if "
    "it is the kernel's, or link with --unresolved-symbols=ignore-all"
)


def user(name: str, *, times: int = 1, path: str = "a.o") -> ObjectFile:
    symbol = extern(name)
    text = code("xdp", call() * times, EXIT)
    return obj(path, relocated(text, *((8 * number, CALL, symbol) for number in range(times))))


def test_a_name_that_nobody_defines_is_reported_with_its_place() -> None:
    assert link_errors(user("foo")) == f"error: undefined symbol: foo\n>>> referenced by a.o:(xdp+0x0)\n{REMEDY}"


def test_all_objects_that_use_the_name_are_one_error() -> None:
    assert link_errors(user("foo"), user("foo", path="b.o")) == (
        "error: undefined symbol: foo\n>>> referenced by a.o:(xdp+0x0)\n>>> referenced by b.o:(xdp+0x0)\n" + REMEDY
    )


def test_many_uses_are_counted() -> None:
    report = link_errors(user("foo", times=10))
    assert report.count("referenced by") == 3
    assert ">>> referenced 7 more times" in report


def test_all_undefined_names_are_reported_in_one_run() -> None:
    report = link_errors(user("foo"), user("bar"))
    assert "undefined symbol: foo" in report
    assert "undefined symbol: bar" in report
    assert report.count(REMEDY) == 1


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_of_many_undefined_names_the_first_are_shown(severity: str) -> None:
    text = code("xdp", call() * 25, EXIT)
    symbols = [extern(f"name{number}") for number in range(25)]
    program = obj("a.o", relocated(text, *((8 * number, CALL, symbol) for number, symbol in enumerate(symbols))))
    if severity == "error":
        report = link_errors(program)
    else:
        diagnostics = Diagnostics()
        link([program], options=LinkOptions(unresolved=Unresolved.WARN), diagnostics=diagnostics)
        report = "\n".join(item.render() for item in diagnostics.items)
    assert report.count("undefined symbol:") == report.count("referenced by") == 20
    assert report.splitlines()[-1] == f"{severity}: … and 5 more undefined symbols"


def test_a_helper_needs_its_header() -> None:
    report = link_errors(user("bpf_map_lookup_elem"))
    assert report.endswith(">>> it is a helper of the kernel, called by its number: include <bpf/bpf_helpers.h>")


def test_debug_information_that_makes_no_sense_costs_only_the_line() -> None:
    program = user("foo")
    info = Section(".debug_info", data=b"\x30\0\0\0\x05\0\1\x08" + bytes(range(44)))
    info.relocations = [
        Relocation(8, ABS32, section_symbol(program.sections[0]), r_addend=3),
        Relocation(12, 77, section_symbol(program.sections[0])),
    ]
    program.sections += [info, Section(".debug_line", data=b"x" * 60), Section(".debug_abbrev", data=b"\1")]
    report = link_errors(program).splitlines()
    assert report[:2] == ["error: undefined symbol: foo", ">>> referenced by a.o:(xdp+0x0)"]


def test_a_name_much_like_it_is_suggested() -> None:
    text = code()
    report = link_errors(user("helper_fn"), obj("b.o", text, glob("helper_fun", text)))
    assert report.endswith(">>> did you mean: helper_fun (of b.o)")


def test_a_name_unlike_it_is_not_suggested() -> None:
    text = code()
    assert "did you mean" not in link_errors(user("foo"), obj("b.o", text, glob("parse_packet", text)))


def test_a_weak_reference_may_stay_undefined() -> None:
    text = relocated(code("xdp", call(), EXIT), (0, CALL, weak("maybe", SpecialSection.UNDEF)))
    linked = link([obj("a.o", text)])
    assert not symbol_of(linked, "maybe").is_defined
    assert symbol_of(linked, "maybe").st_bind is SymbolBinding.WEAK


def test_one_strong_reference_among_weak_ones_is_an_error() -> None:
    text = relocated(code("tc", call(), EXIT), (0, CALL, weak("foo", SpecialSection.UNDEF)))
    assert "undefined symbol: foo" in link_errors(obj("a.o", text), user("foo"))


def test_a_declaration_that_nobody_uses_is_no_error() -> None:
    assert not symbol_of(link([obj("a.o", code(), extern("unused"))]), "unused").is_defined


def test_a_mention_in_debug_information_is_no_use() -> None:
    info = relocated(Section(".debug_info", data=bytes(4)), (0, ABS32, extern("elsewhere")))
    link([obj("a.o", code(), info)])


def test_a_local_symbol_of_the_same_name_is_no_use() -> None:
    text = code("tc", call(), EXIT)
    relocated(text, (0, CALL, Symbol("foo", text)))
    assert link_errors(obj("b.o", text), user("foo")).count("referenced by") == 1


def test_names_may_stay_undefined_when_asked_for() -> None:
    linked = link([user("foo")], options=LinkOptions(unresolved=Unresolved.IGNORE))
    assert not symbol_of(linked, "foo").is_defined


def btf(prefix: str, section: str, names: list[str]) -> bytes:
    """Types with one extern FUNC for each of `names`, all in the DATASEC `section`."""
    strings = bytearray(b"\0")

    def offset(name: str) -> int:
        strings.extend(name.encode() + b"\0")
        return len(strings) - len(name) - 1

    prototype = len(names) + 2
    types = b"".join(struct.pack(f"{prefix}III", offset(name), 12 << 24 | 2, prototype) for name in names)
    types += struct.pack(f"{prefix}IIII", offset("int"), 1 << 24, 4, 32)
    types += struct.pack(f"{prefix}III", 0, 13 << 24, 0)
    types += struct.pack(f"{prefix}III", offset(section), 15 << 24 | len(names), 0)
    for number in range(len(names)):
        types += struct.pack(f"{prefix}III", number + 1, 0, 0)
    header = struct.pack(f"{prefix}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings


@pytest.mark.parametrize("section", [".ksyms", ".kconfig"])
def test_what_the_loader_resolves_may_stay_undefined(section: str) -> None:
    kernel = user("bpf_task_acquire")
    kernel.sections.append(Section(".BTF", data=btf("<", section, ["other", "bpf_task_acquire"])))
    assert not symbol_of(link([kernel]), "bpf_task_acquire").is_defined


def test_an_extern_that_types_list_elsewhere_is_an_error() -> None:
    kernel = user("foo")
    kernel.sections.append(Section(".BTF", data=btf("<", ".maps", ["foo"])))
    assert "undefined symbol: foo" in link_errors(kernel)


@pytest.mark.parametrize(
    "types", [b"", b"x" * 24, btf("<", ".ksyms", ["foo"])[:-8], btf("<", ".ksyms", ["foo"])[:40]]
)
def test_types_that_cannot_be_read_are_an_error(types: bytes) -> None:
    kernel = user("foo")
    kernel.sections.append(Section(".BTF", data=types))
    assert "a.o:(.BTF): error: " in link_errors(kernel)
