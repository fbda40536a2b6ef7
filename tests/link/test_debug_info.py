"""Debugging information of what a link leaves: the same for every function as it was, whatever was removed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfas.asm import assemble
from bpfas.diag import Diagnostics
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link, link_objects
from tests.peers import Peer

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.objfile import ObjectFile

pytestmark = pytest.mark.peer

NAMES = "abcde"
FUNCTION = """
{binding} __attribute__((noinline)) int {name}(int x, int *out)
{{
    int sum = x * {number};
    for (int i = 0; i < sum; i++) {{
        int next = out[i] + s(i);
        if (next > {number}00)
            sum += next;
        out[i + 1] = next ^ sum;
    }}
    return sum + s(sum);
}}
"""


def source(weak: str) -> str:
    functions = "".join(
        FUNCTION.format(name=name, number=number, binding="__attribute__((weak))" if name in weak else "")
        for number, name in enumerate(NAMES, 1)
    )
    static = "static __attribute__((noinline)) int s(int x)\n{\n    volatile int y = x;\n    return y * 3;\n}\n"
    program = (
        '__attribute__((section("xdp"))) int prog(int *context)\n{\n    int total = 0;\n'
        + "".join(f"    total += {name}(total, context);\n" for name in NAMES)
        + "    return total;\n}\n"
    )
    return static + functions + program


def strong(names: str) -> str:
    return "".join(f"int {name}(int x, int *out)\n{{\n    return x + *out;\n}}\n" for name in names)


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler with options that decide what debugging information is like."""

    target: str
    options: tuple[str, ...]

    def compile(self, directory: Path, name: str, text: str) -> Path:
        path = directory / f"{name}.c"
        path.write_text(text)
        output = path.with_suffix(".o")
        if self.target == "gcc":
            assembly = Peer.GCC.run(*self.options, "-O2", "-S", path, "-o", "-").text
            output.write_bytes(write_object(assemble(assembly, f"{name}.s")))
        else:
            Peer.CLANG.run(f"--target={self.target}", *self.options, "-c", path, "-o", output)
        return output


COMPILERS = {
    "clang": Compiler("bpfel", ("-O2", "-g")),
    "clang, big-endian": Compiler("bpfeb", ("-O2", "-g")),
    "clang, DWARF 4": Compiler("bpfel", ("-O2", "-gdwarf-4")),
    "clang, DWARF 3": Compiler("bpfel", ("-O2", "-gdwarf-3")),
    "clang, DWARF 2": Compiler("bpfel", ("-O2", "-gdwarf-2")),
    "clang, aranges": Compiler("bpfel", ("-O1", "-g", "-gdwarf-aranges", "-mcpu=v4")),
    "clang, 64-bit DWARF": Compiler("bpfel", ("-O2", "-g", "-gdwarf64")),
    "gcc": Compiler("gcc", ("-g",)),
    "gcc, DWARF 4": Compiler("gcc", ("-gdwarf-4",)),
    "gcc, DWARF 2": Compiler("gcc", ("-gdwarf-2", "-gstrict-dwarf")),
}


def lines_of(path: Path) -> dict[str, list[tuple[str, str]]]:
    """By function, the opcode of each of its instructions and the line that it belongs to."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    source_line = ""
    for line in Peer.LLVM_OBJDUMP.run("-d", "-l", path).text.splitlines():
        start = re.match(r"[0-9a-f]{16} <(\w+)>:", line)
        instruction = re.match(r" +[0-9]+:\t([0-9a-f]{2}) ", line)
        if start:
            current, source_line = found.setdefault(start[1], []), ""
        elif instruction:
            current.append((instruction[1], source_line))
        elif line.startswith("; ") and not line.endswith("():"):
            source_line = line
    return found


def described(path: Path, name: str) -> list[str]:
    """What there is about a function, with its addresses counted from its start, but for other functions'."""
    text = Peer.LLVM_DWARFDUMP.run(f"--name={name}", "--show-children", "--debug-info", path).text
    entries = re.split(r"(?m)^0x[0-9a-f]+: (?=DW)", text)
    (entry,) = (entry for entry in entries if entry.startswith("DW_TAG_subprogram") and "DW_AT_low_pc" in entry)
    start = re.search(r"DW_AT_low_pc\s+\(0x([0-9a-f]+)\)", entry)
    assert start
    base = int(start[1], 16)
    lines = []
    for line in entry.splitlines():
        line = re.sub(r"^0x[0-9a-f]+: *|loclist = 0x[0-9a-f]+|\(0x[0-9a-f]+ \"", "", line)
        if re.search(r"DW_AT_location\s+\(0x|\[0x|_pc\s", line):
            line = re.sub(r"0x([0-9a-f]{8,16})\b", lambda match: str(int(match[1], 16) - base), line)
        lines.append(re.sub(r"DW_AT_location\s+\(-?\d+:", "DW_AT_location (", line))
    return lines


CASES = [(name, "abd") for name in COMPILERS] + [
    (name, weak) for name in ("clang", "clang, DWARF 4", "gcc") for weak in ("a", "c", "e", "ace", "abcde")
]


@pytest.mark.parametrize(("name", "weak"), CASES)
def test_what_is_left_has_the_lines_and_variables_that_it_had(name: str, weak: str, tmp_path: Path) -> None:
    compiler = COMPILERS[name]
    paths = [compiler.compile(tmp_path, "first", source(weak)), compiler.compile(tmp_path, "second", strong(weak))]
    linked = link_objects([read_object(path.read_bytes(), path.name) for path in paths])
    assert [removed.name for removed in linked.removed] == list(weak)
    output = tmp_path / "linked.o"
    output.write_bytes(write_object(linked.output))
    if compiler.target != "gcc":  # of which LLVM's verifier finds no end
        verified = Peer.LLVM_DWARFDUMP.run("--verify", output, check=False)
        assert "No errors." in verified.text, verified.text
    before, after = lines_of(paths[0]), lines_of(output)
    for function in {"s", "prog", *NAMES} - set(weak):
        assert after[function] == before[function]
        assert described(output, function) == described(paths[0], function)


def damaged(obj: ObjectFile, damage: list[tuple[int, int, int]]) -> ObjectFile:
    """The object with other bytes in its debugging sections: (section, place, byte), each modulo what there is."""
    sections = [section for section in obj.sections if section.name.startswith(".debug_") and section.data]
    for number, at, byte in damage:
        section = sections[number % len(sections)]
        contents = bytearray(section.data)
        contents[at % len(contents)] = byte
        section.data = bytes(contents)
    return obj


@pytest.mark.parametrize("name", ["clang", "clang, DWARF 4", "gcc, DWARF 2"])
def test_debug_information_that_says_nonsense_costs_a_warning(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("damaged")
    compiler = COMPILERS[name]
    first = compiler.compile(directory, "first", source("bd")).read_bytes()
    second = compiler.compile(directory, "second", strong("bd")).read_bytes()
    byte = st.sampled_from([0, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1 << 16), byte), min_size=1, max_size=4))
    def check(damage: list[tuple[int, int, int]]) -> None:
        diagnostics = Diagnostics()
        objects = [damaged(read_object(first, "first.o"), damage), read_object(second, "second.o")]
        linked = link_objects(objects, diagnostics=diagnostics)
        assert [removed.name for removed in linked.removed] == ["b", "d"]
        for item in diagnostics.items:
            assert item.render().startswith("first.o: warning: the debugging information will be wrong about what")

    check()


def test_the_warning_says_what_cannot_be_made_out(tmp_path: Path) -> None:
    paths = [
        COMPILERS["clang"].compile(tmp_path, name, text)
        for name, text in (("first", source("b")), ("second", strong("b")))
    ]
    objects = [read_object(path.read_bytes(), path.name) for path in paths]
    info = objects[0].section(".debug_info")
    assert info
    info.data = info.data[:4] + b"\x09" + info.data[5:]
    diagnostics = Diagnostics()
    link_objects(objects, diagnostics=diagnostics)
    (warning,) = diagnostics.items
    assert warning.render() == (
        "first.o: warning: the debugging information will be wrong about what is left of .text: "
        "a unit of .debug_info is of DWARF 9"
    )


def rows_of_text(source: str, removed: str, directory: Path) -> list[tuple[int, int]]:
    """(address, line) of each row of .text after a link in which the function `removed` lost its name."""
    strong_text = f'.section xdp,"ax",@progbits\n.globl {removed}\n.type {removed}, @function\n{removed}: exit\n'
    objects = [
        read_object(write_object(assemble(text, f"{name}.s")), f"{name}.o")
        for name, text in (("strong", strong_text), ("a", source))
    ]
    output = directory / "linked.o"
    output.write_bytes(write_object(link(objects)))
    shown = Peer.LLVM_DWARFDUMP.run("--debug-line", output).text
    rows = re.findall(r"^0x([0-9a-f]+) +(\d+) (?!.*end_sequence)", shown, re.MULTILINE)
    return [(int(address, 16), int(line)) for address, line in rows]


def test_a_row_of_one_instruction_behind_a_hole_keeps_its_line(tmp_path: Path) -> None:
    # The removed row's line made the way to the next one short enough for one byte.
    functions = "".join(
        f"\t{'.weak' if name == 'w' else '.globl'} {name}\n\t.type {name}, @function\n"
        f"{name}:\t.loc 1 {line}\n\texit\n\t.size {name}, 8\n"
        for name, line in (("a", 1), ("w", 9), ("b", 17))
    )
    assert rows_of_text(f'\t.file 1 "a.c"\n\t.text\n{functions}', "w", tmp_path)[-1] == (8, 17)


def test_a_row_that_is_in_force_behind_a_hole_stays_so(tmp_path: Path) -> None:
    functions = (
        "\t.globl a\n\t.type a, @function\na:\t.loc 1 1\n\texit\n\t.size a, 8\n"
        "\t.weak w\n\t.type w, @function\nw:\t.loc 1 5\n\texit\n\t.size w, 8\n"
        "\t.globl b\n\t.type b, @function\nb:\texit\n\t.size b, 8\n"
    )
    assert rows_of_text(f'\t.file 1 "a.c"\n\t.text\n{functions}', "w", tmp_path) == [(0, 1), (8, 5)]
