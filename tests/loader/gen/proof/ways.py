"""The ways to load an object: directly, and by its loader program; each gives what the kernel then has."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.loader import load, open_image
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.c.header import c_header
from bpfas.loader.gen.python.module import python_module
from bpfas.loader.gen.running.runner import run
from bpfas.loader.loading.options import LoadOptions
from tests.loader.gen.proof.corpus import case
from tests.loader.gen.proof.executables import executable
from tests.loader.gen.proof.processes import Waiting
from tests.loader.proof.facts import Facts, facts
from tests.loader.proof.libbpf import SECTIONS
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bpfas.loader.gen import LoaderProgram
    from bpfas.loader.runtime.programs import Program
    from tests.loader.gen.proof.corpus import Case

BARE_PYTHON = "/usr/bin/python3"
MODULE_USER = Path(__file__).with_name("use_module.py")


@functools.cache
def directly(name: str, programs: frozenset[str] | None = None) -> Facts:
    """What the kernel has when this loader loads an object, with these programs only, if they are given."""
    return by_loading(case(name), programs)


def by_loading(what: Case, programs: Collection[str] | None = None, target: Program | None = None) -> Facts:
    """The same anew, and for a program whose function another replaces."""
    image = what.image()
    if programs is not None:
        for each in image.programs:
            image.set_program(each, autoload=each in programs)
    with load(image, kconfig=what.proof.kconfig, target=target.id if target else None) as app:
        return facts(
            {name: program.fd for name, program in app.programs.items()},
            [each.fd for each in app.maps.values()],
        )


def generated(what: Case) -> LoaderProgram:
    """The loader program of an object."""
    return generate(what.image(), GenOptions(kconfig=what.proof.kconfig))


def by_runner(what: Case, target: Program | None = None) -> Facts:
    """What the kernel has when our runner has loaded an object by its loader program.

    `target` is the program whose function the object's program of the name `replacement` replaces, here and below.
    """
    with run(generated(what), LoadOptions(target=target.id if target else None)) as app:
        return facts(
            {name: program.fd for name, program in app.programs.items()},
            [each.fd for each in app.maps.values()],
        )


def by_module(what: Case, folder: Path, target: Program | None = None) -> Facts:
    """What the kernel has when the Python module has loaded an object in an interpreter that has nothing else."""
    path = folder / "made.py"
    path.write_text(python_module(generated(what)))
    targets = [f"replacement={target.id}"] if target else []
    return by_process([BARE_PYTHON, "-I", "-S", MODULE_USER, path, *targets])


def by_header(what: Case, target: Program | None = None) -> Facts:
    """What the kernel has when a program in C has loaded an object by the header."""
    command = [executable(what.name, c_header(generated(what), what.name))]
    return by_process(command, target_fd=target.fd if target else None)


def by_bpftool(what: Case, folder: Path) -> Facts:
    """What the kernel has when the header that bpftool makes loads an object; the refusal, if it makes none.

    Programs that libbpf does not know, or the kernel does not take, are made such as are not loaded.
    """
    path = folder / f"{what.name}.o"
    renamed = (f"--rename-section={section}=?{section}" for section in unknown_sections(what))
    Peer.LLVM_OBJCOPY.run(*renamed, what.path, path)
    made = Peer.BPFTOOL.run("gen", "skeleton", "-L", path, "name", what.name, check=False)
    if made.status:
        return Facts(refusal=f"exit status {made.status}\n{made.errors}")
    loaded = {name for name, program in open_image(path).programs.items() if program.autoload}
    try:
        command = [executable(what.name, made.text)]
    except ValueError as error:
        return Facts(refusal=str(error))
    return by_process(command, loaded)


def unknown_sections(what: Case) -> set[str]:
    """Sections with programs that bpftool must not load."""
    return {
        each.section
        for each in what.image().programs.values()
        if not each.section.startswith("?")
        and (not each.autoload or each.section in SECTIONS or each.section.partition("/")[0] in SECTIONS)
    }


def by_process(
    command: Sequence[str | Path], loaded: Collection[str] | None = None, target_fd: int | None = None
) -> Facts:
    """What the kernel has when a process has loaded an object; nothing of it is left when that has closed it.

    With `loaded`, descriptors belong to these programs in their order, as bpftool's headers have them.
    """
    with Waiting(command, target_fd) as process:
        said = [line.split(" ") for line in process.said()]
        if said and said[0][0] == "error":
            return Facts(refusal="\n".join(map(" ".join, said)))
        maps = [int(number) for kind, _, number in said if kind == "map" and number != "0"]
        programs = [int(number) for kind, _, number in said if kind == "program" and number != "0"]
        names = [
            name
            for kind, name, number in said
            if kind == "program" and (number != "0" if loaded is None else name in loaded)
        ]
        with process.descriptors([*programs, *maps]) as descriptors:
            found = facts(dict(zip(names, descriptors, strict=False)), descriptors[len(programs) :])
        # Python's mmap has descriptors of its own, and the module keeps that of a target.
        targets = sum("=" in str(word) for word in command)
        assert len(set(process.open_descriptors())) == len(maps) + len(programs) + targets
        process.go_on()
        assert process.open_descriptors() == []
        return found
