"""clang's assembly gives the same object as its own assembler makes of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from tests.asm.compilers import Case, Compiled, Compiler, assembled, parameters, sections
from tests.objdump.compare import symbols

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.objfile import ObjectFile

LEVELS = {
    "core": ("-O1 -g", "-O2 -g"),  # without -g the compiler refuses it
    "verifier_style": ("-O1", "-O2 -g"),  # without optimization `i` is no constant
}
ALL_OPTIONS = (
    "-O1",
    "-Os -g",
    "-O3 -g -gdwarf-4",
    "-O0 -g",
    "-O0 -g -gdwarf-4",
    "-O2 -ffunction-sections -fdata-sections",
    "-O2 -g -fverbose-asm",
    "-O2 -g -fno-verbose-asm",
    "-O2 -g -fno-integrated-as",
    "-O2 -g -gsplit-dwarf",
    "-O2 -g -ggnu-pubnames -gembed-source",
    "-O2 -g -ggnu-pubnames -fdebug-macro",
    "-O2 -g -gdwarf-3",
    "-O2 -g -fasynchronous-unwind-tables",
    "-O2 -g -mllvm -accel-tables=Dwarf",
    "-O2 -fPIC -fvisibility=hidden",
    "-O2 -fcommon -fmerge-all-constants",
    "-O2 -fno-addrsig -frecord-command-line",
    "-O2 -fstack-size-section",
    "-O2 -fno-unique-section-names -ffunction-sections",
)
WITH_ALL_OPTIONS = ("types", "control_flow", "linkage", "tables", "escapes", "btf_maps", "asm_directives")


def versions(program: Path) -> list[str]:
    """The values of -mcpu for a program: all, or those that it names."""
    match = re.search(r"^// mcpu: (.*)$", program.read_text(), re.MULTILINE)
    return match[1].split() if match else ["v1", "v2", "v3", "v4"]


def cases() -> Iterator[Case]:
    for program in Compiler.CLANG.programs:
        for version in versions(program):
            for options in LEVELS.get(program.stem, ("-O0", "-O2 -g") if version in ("v1", "v4") else ("-O2 -g",)):
                for order in ByteOrder:
                    yield Case(Compiler.CLANG, program, f"-mcpu={version} {options}", order)
        for options in ALL_OPTIONS if program.stem in WITH_ALL_OPTIONS else ():
            yield Case(Compiler.CLANG, program, f"-mcpu={version} {options}")


@pytest.mark.peer
@pytest.mark.parametrize("case", parameters(cases()))
def test_clang(case: Case, compiled: Callable[[Case], Compiled]) -> None:
    files = compiled(case)
    found = assembled(files, case)
    theirs = read_object(files.expected.read_bytes(), "clang.o")
    assert sections(found, Compiler.CLANG.value) == sections(theirs, Compiler.CLANG.value)
    assert symbols(found) == symbols(theirs)
    assert numbers_of_listed_symbols(found) == numbers_of_listed_symbols(theirs)


def numbers_of_listed_symbols(obj: ObjectFile) -> list[str]:
    """The bytes of .llvm_addrsig: the same if the symbols come in the same order."""
    return [bytes(section.data).hex() for section in obj.sections if section.name == ".llvm_addrsig"]
