"""A loader program as a Python module: one file that needs nothing beyond the standard library (Python 3.9).

The module has the parts of `bpfas.loader.gen.python.parts` that the object needs, the types of its values, and a
class for the object with its maps, programs and data. How names become Python's is
`bpfas.loader.gen.python.names`.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from bpfas.loader.gen.loader_program import FactKind, Scheme
from bpfas.loader.gen.python.joined_parts import all_parts, body_text, head_text, names_of, with_needs
from bpfas.loader.gen.python.maps import MapWriter, map_attribute
from bpfas.loader.gen.python.names import class_name, identifier, unique
from bpfas.loader.gen.python.programs import program_expression
from bpfas.loader.gen.python.text import Call, Keyword, Table, assigned, packed_text, quoted
from bpfas.loader.gen.python.types import ValueTypes
from bpfas.loader.gen.script import Call as BpfCall
from bpfas.loader.gen.script import Fill, Find, Need, Require
from bpfas.loader.gen.trace import step_words
from bpfas.loader.kinds import MapType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfas.loader.gen.loader_program import LoaderProgram

_CAN_FAIL = (BpfCall, Fill, Find, Need, Require)
_OBJECT_NAMES = ("LOADER", "open", "open_and_load")
_GROUP_NAMES = frozenset({"add", "_members"})
_SKELETON_NAMES = frozenset(
    {
        "attach",
        "close",
        "detach",
        "is_loaded",
        "load",
        "loader",
        "log",
        "maps",
        "name",
        "pin",
        "progs",
        "sections",
        "token",
    }
)


def python_module(program: LoaderProgram, imported_as: str = "") -> str:
    """The text of a Python module that loads, attaches and closes the object of a loader program.

    `imported_as` is what its file is called, for the docstring, default the program's name. The same for the same
    program, on every machine.
    """
    return _Module(program, imported_as or program.name).text()


class _Module:
    """A module as it is written."""

    def __init__(self, program: LoaderProgram, imported_as: str) -> None:
        self.program = program
        self.imported_as = imported_as
        self.facts = {(fact.kind, fact.subject): fact.offset for fact in program.context.facts}
        self.parts = ["kernel", "loader", "skeleton"]
        taken = {*dir(builtins), *_OBJECT_NAMES, *names_of(all_parts())}
        self.class_name = unique(class_name(program.name), taken)
        self.maps_class = unique(f"{self.class_name}Maps", taken)
        self.programs_class = unique(f"{self.class_name}Programs", taken)
        self.types = ValueTypes(program.image.types, taken)
        self.maps = _attributes(
            ((entry.spec.name, map_attribute(entry.spec)) for entry in program.context.maps), _GROUP_NAMES
        )
        self.programs = _attributes(
            ((entry.spec.name, identifier(entry.spec.name)) for entry in program.context.programs), _GROUP_NAMES
        )
        self.sections: dict[str, str] = {}
        """The attributes of maps with variables, by what these are called."""

    def text(self) -> str:
        """The whole text."""
        loader = self._loader()
        objects = [self._programs_class(), self._maps_class(), self._class(), self._functions()]
        parts = with_needs([*self.parts, "command_line"])
        head = f"{self._docstring()}\n\nfrom __future__ import annotations\n\n{head_text(parts)}"
        byte_order = f"BYTE_ORDER = {quoted(self.program.byte_order.name_for_int)}"
        orders = [byte_order] if "values" in parts else []
        pieces = [head, body_text(parts), *orders, *self.types.definitions, loader, *objects]
        return "\n\n\n".join(pieces) + "\n"

    def _docstring(self) -> str:
        name, module = _word(self.program.name), identifier(self.imported_as)
        title = (
            f"The BPF object {name}: its maps, programs and data, loaded by one run of a program in the kernel."
        )
        return f'''"""{title}

    import {module}

    with {module}.open() as skel:  # nothing is loaded yet: set values and sizes here
        skel.load()
        skel.attach()

Made by bpf-load gen; nothing beyond the standard library is needed. `python3 FILE --help` tells what it does as a
command.
"""'''

    def _loader(self) -> str:
        program = self.program
        steps = enumerate(program.script.numbered_steps(), 1)
        words = [(str(number), quoted(step_words(step))) for number, step in steps if isinstance(step, _CAN_FAIL)]
        arguments: tuple[Keyword, ...] = (
            Keyword("name", quoted(program.name)),
            Keyword("byte_order", quoted(program.byte_order.name_for_int)),
            Keyword("context_size", str(program.context.size)),
            Keyword("failed_step", str(program.context.failed_step)),
            Keyword("steps", Table(tuple(words))),
            Keyword("instructions", packed_text(program.instructions)),
            Keyword("data", packed_text(program.data)),
        )
        if program.scheme is None:
            return assigned("LOADER", Call("Loader", arguments))
        self.parts.append("signed")
        signature = packed_text(program.signature.data) if program.signature else '""'
        fixed = Table(
            tuple(
                (str(offset), quoted(spec.name))
                for spec, offset in program.context.maps
                if spec.map_type != MapType.PERF_EVENT_ARRAY or spec.max_entries
            )
        )
        arguments += (
            Keyword("signature", signature),
            Keyword("is_hashed", str(program.scheme is Scheme.INSTRUCTIONS_AND_DATA)),
            Keyword("fixed", fixed),
        )
        return assigned("LOADER", Call("SignedLoader", arguments))

    def _programs_class(self) -> str:
        lines = []
        for entry in self.program.context.programs:
            expression, part = program_expression(entry, self.facts)
            self.parts.append(part)
            lines.append(assigned(f"self.{self.programs[entry.spec.name]}", Call("self.add", (expression,)), 8))
        return _group(self.programs_class, "", f"The programs of {_word(self.program.name)}.", lines)

    def _maps_class(self) -> str:
        writer = MapWriter(self.program, self.types, self.facts)
        programs = {name: f"programs.{attribute}" for name, attribute in self.programs.items()}
        lines = []
        takes_programs = False
        for spec, offset in self.program.context.maps:
            text = writer.map(spec, offset, programs)
            self.parts += text.parts
            takes_programs |= spec.struct_ops is not None
            attribute = self.maps[spec.name]
            lines.append(assigned(f"self.{attribute}", Call("self.add", (text.expression,)), 8))
            if text.has_variables and spec.struct_ops is None:
                self.sections[spec.name] = attribute
        parameter = f"programs: {self.programs_class}" if takes_programs else ""
        self.takes_programs = takes_programs
        return _group(self.maps_class, parameter, f"The maps of {_word(self.program.name)}.", lines)

    def _class(self) -> str:
        program, writer = self.program, MapWriter(self.program, self.types, self.facts)
        pins = [
            writer.pin(spec, offset, f"self.maps.{self.maps[spec.name]}") for spec, offset in program.context.maps
        ]
        extra = [pin for pin in pins if pin]
        lines = [
            "        super().__init__(LOADER)",
            f"        self.progs = {self.programs_class}()",
            f"        self.maps = {self.maps_class}({'self.progs' if self.takes_programs else ''})",
        ]
        wanted = (
            (spec.name, map_attribute(spec)) for spec, _ in program.context.maps if spec.name in self.sections
        )
        names = _attributes(wanted, _SKELETON_NAMES)
        lines += [
            f"        self.{names[name]} = self.maps.{attribute}.variables"
            for name, attribute in self.sections.items()
        ]
        if names:
            items = tuple((quoted(attribute), f"self.{attribute}") for attribute in names.values())
            lines.append(assigned("self.sections", Table(items), 8))
        parts = ["*self.maps", *extra, "*self.progs"]
        if extra:
            self.parts.append("pins")
        if (token := self.facts.get((FactKind.TOKEN, ""))) is not None:
            self.parts.append("tokens")
            lines.append(f"        self.token = Token({token}, LOADER)")
            parts.insert(0, "self.token")
        lines.append(f"        self._parts = [{', '.join(parts)}]")
        counts = f"{_counted(len(self.maps), 'map')}, {_counted(len(self.programs), 'program')}"
        body = "\n".join(lines)
        return f'''class {self.class_name}(Skeleton):
    """{_word(program.name)}: {counts}."""

    def __init__(self) -> None:
{body}'''

    def _functions(self) -> str:
        name, owner = _word(self.program.name), self.class_name
        return f'''def open() -> {owner}:  # noqa: A001
    """{name}, of which nothing is loaded yet."""
    return {owner}()


def open_and_load() -> {owner}:
    """{name}, loaded. Raises LoadError."""
    skeleton = {owner}()
    try:
        skeleton.load()
    except BaseException:
        skeleton.close()
        raise
    return skeleton


if __name__ == "__main__":
    sys.exit(run_command(open, {quoted(f"The BPF object {self.program.name}.")}))'''


def _attributes(names: Iterable[tuple[str, str]], reserved: frozenset[str]) -> dict[str, str]:
    """Attributes by names, each once; `names` come with what they would be called."""
    taken: set[str] = set()
    return {name: unique(identifier(wanted, reserved), taken) for name, wanted in names}


def _group(name: str, parameter: str, words: str, lines: list[str]) -> str:
    body = "\n".join(["        super().__init__()", *lines])
    parameters = f"self, {parameter}" if parameter else "self"
    return f'''class {name}(Group):
    """{words}"""

    def __init__({parameters}) -> None:
{body}'''


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _word(name: str) -> str:
    """A name in the text of a docstring."""
    return ascii(name)[1:-1].replace('"', "'")
