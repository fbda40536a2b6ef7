"""What the documents show is what happens: the tour, the error messages, the pages made from tables."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from bpfas.asm import assemble
from bpfas.asm.assembler import DIRECTIVES
from bpfas.asm.command_line import LONG_OPTIONS, REFUSED_OPTIONS, SHORT_OPTIONS
from bpfas.asm.input_directives import INPUT_DIRECTIVES
from bpfas.link.option_table import OPTIONS
from bpfas.link.option_table import REFUSED_OPTIONS as LINKER_REFUSED_OPTIONS
from bpfas.loader import load
from bpfas.loader.attach.table import ways
from bpfas.loader.cli import main as bpf_load
from bpfas.loader.sections import section_kind
from bpfas.loader.spec import ProgramSpec
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    """The text of a page of docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """The rows of all tables, heads left out, as cells without the blanks about them."""
    lines = re.findall(r"^\|(.*)\|$", re.sub(r"^\|.*\n\|[-:| ]+\n", "", text, flags=re.MULTILINE), re.MULTILINE)
    return [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def run_in_shell(script: str, directory: Path) -> str:
    """What a script prints to both its outputs; our commands come first on its path."""
    (output,) = run_in_one_shell([script], directory)
    return output


def run_in_one_shell(scripts: Sequence[str], directory: Path) -> list[str]:
    """What each of several scripts, pasted into one shell one after the other, prints to both its outputs."""
    separator = "---- the end of a script ----"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    # A make that is called by another one says more.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        environment.pop(name, None)
    command = ["/bin/bash", "-c", "".join(f"{script}\necho '{separator}'\n" for script in scripts)]
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.split(f"{separator}\n")[:-1]


@pytest.mark.kernel
def test_the_tour_works_when_pasted(tmp_path: Path) -> None:
    (tour,) = blocks(README, "sh")
    output = run_in_shell(tour, tmp_path)
    assert "count returned 2 (XDP_PASS)" in output
    assert "0: 03 00 00 00 00 00 00 00" in output
    (program,) = blocks(README, "python")
    output = run_in_shell(f"python - <<'EOF'\n{program}\nEOF", tmp_path)
    assert output == "2 b'\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\nXDP of lo, generic\n"


def pasted(language: str, text: str) -> str:
    """A block of a page as a shell takes it."""
    return text if language == "sh" else f"python - <<'EOF'\n{text}EOF"


@pytest.fixture
def no_pins() -> Iterator[None]:
    """Take away what the commands of a page have pinned, if they did not come to do it."""
    yield
    for directory in Path("/sys/fs/bpf").glob("docs-*"):
        shutil.rmtree(directory)


def shown(expected: str) -> re.Pattern[str]:
    """What a shown output stands for: an ellipsis is any text in its line, alone in a line any number of lines."""
    lines = expected.splitlines()
    texts = (re.escape(line).replace("…", ".*") + "\n" if line != "…" else "(?:.*\n)*" for line in lines)
    return re.compile("".join(texts))


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "peers"),
    [
        pytest.param("tutorial.md", (Peer.CLANG,), marks=pytest.mark.kernel),
        ("compatibility.md", (Peer.CLANG, Peer.GCC)),
        pytest.param("binding.md", (), marks=pytest.mark.kernel),
        ("linking.md", (Peer.CLANG,)),
        pytest.param("loading.md", (Peer.CLANG,), marks=pytest.mark.kernel),
        pytest.param("attaching.md", (), marks=pytest.mark.kernel),
        ("signing.md", ()),
        pytest.param("loader-programs.md", (Peer.CLANG,), marks=pytest.mark.kernel),
    ],
)
@pytest.mark.usefixtures("no_pins")
def test_the_commands_of_a_page_do_what_it_shows(name: str, peers: tuple[Peer, ...], tmp_path: Path) -> None:
    for peer in peers:
        peer.require()
    parts = re.findall(r"^```(sh|python|text)\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)
    scripts = [pasted(language, text) for language, text in parts if language != "text"]
    outputs = iter(run_in_one_shell(scripts, tmp_path))
    output = ""
    for language, text in parts:
        if language != "text":
            output = next(outputs)
        else:
            assert shown(text).fullmatch(output), output
    assert not [*outputs]


@pytest.mark.kernel
def test_the_exercise_of_the_tutorial_has_a_solution() -> None:
    solution = ROOT / "examples" / "tutorial" / "by_kind.s"
    with load(assemble(solution.read_text(encoding="utf-8"), solution.name)) as app:
        for kind in (0x0800, 0x0806, 0x0800):
            app.programs["by_kind"].test_run(bytes(12) + kind.to_bytes(2, "big") + bytes(46))
        counts = {key.hex(): int.from_bytes(value, sys.byteorder) for key, value in app.maps["kinds"].items()}
    assert counts == {"0800": 2, "0806": 1}


@pytest.mark.kernel
@pytest.mark.peer
def test_the_python_of_the_runtime_page_gives_what_it_shows(tmp_path: Path) -> None:
    Peer.CLANG.require()
    output = ""
    parts = re.findall(r"^```(sh|python|text)\n(.*?)^```$", page("runtime.md"), re.MULTILINE | re.DOTALL)
    for language, text in parts:
        if language == "text":
            assert output == text
        else:
            output = run_in_shell(text if language == "sh" else f"python - <<'EOF'\n{text}EOF", tmp_path)


@pytest.mark.peer
@pytest.mark.kernel
def test_the_python_of_the_maps_page_works(tmp_path: Path) -> None:
    (source,), (program,) = blocks(page("maps.md"), "c"), blocks(page("maps.md"), "python")
    (tmp_path / "app.c").write_text(source)
    include = "-I/usr/include/x86_64-linux-gnu"
    Peer.CLANG.run("--target=bpf", "-O2", "-g", include, "-c", "app.c", directory=tmp_path)
    assert run_in_shell(f"python - <<'EOF'\n{program}\nEOF", tmp_path) == "115 65536\n"


@pytest.mark.kernel
def test_the_python_of_the_binding_page_works(tmp_path: Path) -> None:
    run_in_shell(blocks(page("binding.md"), "sh")[0], tmp_path)
    libraries, tail_calls = blocks(page("binding.md"), "python")
    output = run_in_shell(f"python - <<'EOF'\n{libraries}\nEOF", tmp_path)
    assert output == "[42, 43, 44]\nb',\\x00\\x00\\x00'\n"
    assert run_in_shell(f"python - <<'EOF'\n{tail_calls}\nEOF", tmp_path) == "[0, 1, 2]\n"


def test_the_errors_in_the_readme_are_those_that_are_printed(tmp_path: Path) -> None:
    (text,) = blocks(README, "text")
    command, *expected = text.splitlines(keepends=True)
    (tmp_path / "wrong.s").write_text("addd %r1, 5\nmov  %r1, 5000000000\n")
    assert run_in_shell(command.removeprefix("$ "), tmp_path) == "".join(expected)
    assert not (tmp_path / "wrong.o").exists()


@pytest.mark.parametrize("page", ["instructions.md", "helpers.md"])
def test_a_page_made_from_a_table_is_that_table(page: str) -> None:
    generate = ROOT / "docs" / "generate.py"
    code = f"import runpy; print(runpy.run_path({str(generate)!r})['PAGES'][{page!r}](), end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs" / page).read_text(encoding="utf-8")


ASSEMBLY = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in sorted(DOCS.glob("*.md"))
    for number, block in enumerate(blocks(page(path.name), "asm"), 1)
]


@pytest.mark.parametrize("block", ASSEMBLY)
def test_a_block_of_assembly_assembles(block: str) -> None:
    assert assemble(block).sections


DIRECTIVE_ROWS = [
    (re.findall(r"`(\.\w[\w.]*)", row[0]), row[-1])
    for row in rows(page("directives.md"))
    if row[0].startswith("`.")
]


def test_every_directive_is_described_once() -> None:
    described = [name for names, _ in DIRECTIVE_ROWS for name in names]
    described.remove(".file")  # it is two directives
    assert sorted(described) == sorted({*DIRECTIVES, *INPUT_DIRECTIVES})


@pytest.mark.peer
@pytest.mark.parametrize(
    ("assembler", "command"),
    [
        ("GNU", (Peer.GNU_AS,)),
        ("LLVM", (Peer.LLVM_MC, "-triple=bpfel", "-filetype=obj")),
    ],
)
def test_the_peers_lack_the_directives_that_they_are_said_to_lack(
    assembler: str, command: tuple[Peer, *tuple[str, ...]], tmp_path: Path
) -> None:
    peer, *options = command
    arguments: list[str | Path] = [*options, "-o", tmp_path / "out.o", "-"]
    unknown = re.compile("unknown pseudo-op|unknown directive|not supported for this target|unimplemented")
    lacking = {
        name
        for names, _ in DIRECTIVE_ROWS
        for name in names
        if unknown.search(peer.run(*arguments, stdin=f"{name} 8\n".encode(), check=False).errors)
    }
    assert lacking == {name for names, absent in DIRECTIVE_ROWS for name in names if assembler in absent}


DIFFERENCES = [
    pytest.param(row, id=" / ".join(re.findall("`(.*?)`", row[0])))
    for row in rows(page("compatibility.md"))
    if len(row) == 5
]


@dataclass(frozen=True)
class Outcome:
    """What an assembler makes of a source: `status`, and the contents and relocations of its section."""

    status: str
    contents: str = ""
    relocations: tuple[str, ...] = ()


def outcome(assembler: Path, arguments: tuple[str, ...], source: str, directory: Path) -> Outcome:
    """Assemble a source with any of the assemblers."""
    output = directory / "out.o"
    done = subprocess.run(
        [assembler, *arguments, "-o", output, "-"], input=source.encode(), capture_output=True, check=False
    )
    if done.returncode:
        return Outcome("crash" if done.returncode < 0 else "error")
    with output.open("rb") as stream:
        elf = ELFFile(stream)
        name = ".data" if source.startswith(".data\n") else ".text"
        section, relocations = elf.get_section_by_name(name), elf.get_section_by_name(f".rel{name}")
        assert section is not None
        return Outcome(
            "",
            section.data().hex(" "),
            tuple(
                f"type {relocation['r_info_type']} at {relocation['r_offset']}"
                for relocation in (
                    relocations.iter_relocations() if isinstance(relocations, RelocationSection) else ()
                )
            ),
        )


def said_outcome(cell: str) -> Outcome:
    """What a cell of the tables says, with `…` where the contents go on."""
    contents = "".join(re.findall("`(.*?)`", cell))
    status = "" if contents else cell
    return Outcome(status, contents, tuple(re.findall(r"type [0-9]+ at [0-9]+", cell)))


@pytest.mark.peer
@pytest.mark.parametrize("row", DIFFERENCES)
def test_a_difference_is_what_the_table_says(row: list[str], tmp_path: Path) -> None:
    source = "".join(f"{line}\n" for line in re.findall("`(.*?)`", row[0]))
    assemblers = (
        (Path(sys.executable).parent / "bpf-as", ("-EL",)),
        (Path(Peer.GNU_AS.require()), ("-EL",)),
        (Path(Peer.LLVM_MC.require()), ("-triple=bpfel", "-mcpu=v4", "-filetype=obj")),
    )
    for (assembler, arguments), cell in zip(assemblers, row[1:4], strict=True):
        if not cell:
            continue
        said, found = said_outcome(cell), outcome(assembler, arguments, source, tmp_path)
        if said.contents.endswith(" …"):
            said = replace(said, contents=said.contents[:-2])
            found = replace(found, contents=found.contents[: len(said.contents)])
        assert found == said, assembler


def test_every_option_is_described() -> None:
    described = set(re.findall(r"-{1,2}[\w-]+\+?", page("options.md")))
    for name in (*SHORT_OPTIONS, *LONG_OPTIONS, *REFUSED_OPTIONS):
        assert {f"-{name}", f"--{name}"} & described, name


def test_every_option_of_the_linker_is_described() -> None:
    section = page("linking.md").partition("| option | meaning |")[2].partition("## The map")[0]
    described = set(re.findall(r"(?<=`)-{1,2}[\w()-]+", section))
    names = [name for option in OPTIONS for name in option.names]
    assert sorted(described) == sorted({*names, *LINKER_REFUSED_OPTIONS})


def test_the_message_on_the_page_of_messages_is_the_one_that_is_printed(tmp_path: Path) -> None:
    ((command, message),) = re.findall(r"^    \$ (.*)\n    (.*)$", page("diagnostics.md"), re.MULTILINE)
    assert run_in_shell(command, tmp_path) == f"{message}\n"


def anchors(document: Path) -> set[str]:
    """The names by which a link can point to the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "document",
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))],
    ids=lambda path: path.name,
)
def test_what_a_document_points_to_exists(document: Path) -> None:
    for target in re.findall(r"\]\(([^):]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        pointed_to = document.parent / path if path else document
        assert pointed_to.exists(), target
        assert not anchor or anchor in anchors(pointed_to), target


COMMANDS_OF_THE_LOADER = (
    "load", "run", "attach", "pin", "unpin", "bindings", "check-core", "doctor",
    "maps", "maps update", "maps events", "progs", "progs dump", "links", "links detach",
    "gen", "gen sign", "gen verify",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS_OF_THE_LOADER)
def test_every_command_of_the_loader_and_its_options_are_described(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bpf_load([*command.split(), "--help"])
    described = page("loading.md") + page("attaching.md") + page("loader-programs.md")
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", capsys.readouterr().out)) - {"--help"}
    assert options
    assert not [option for option in options if not re.search(rf"{option}(?![\w-])", described)]
    assert re.search(rf"bpf-load {command}|`{command}|, `{command}", described)


WAYS = {row[0]: row for row in rows(page("attaching.md")) if len(row) == 4}
NAMES_OF_WAYS = sorted({way.name for way in ways()})


def test_the_ways_of_attaching_are_those_of_the_table() -> None:
    assert sorted(WAYS) == NAMES_OF_WAYS


@pytest.mark.parametrize("name", NAMES_OF_WAYS)
def test_the_keywords_of_a_way_are_those_that_it_takes(name: str) -> None:
    way = next(way for way in ways() if way.name == name)
    parameters = [each for each in signature(way.load()).parameters.values() if each.kind is each.KEYWORD_ONLY]
    shown = (f"**`{each.name}`**" if each.default is each.empty else f"`{each.name}`" for each in parameters)
    assert WAYS[name][2] == ", ".join(shown)


@pytest.mark.parametrize("name", NAMES_OF_WAYS)
def test_the_sections_that_are_named_with_a_way_go_that_way(name: str) -> None:
    for named in re.findall(r"`(.*?)`", WAYS[name][1]):
        section = re.sub(r"…|[A-Z]+(\[.*\])?", "x", named)
        kind = section_kind(section)
        spec = ProgramSpec("", "", section, kind.program_type, b"", expected_attach_type=kind.attach_type)
        assert any(way.takes(spec) for way in ways() if way.name == name), section
