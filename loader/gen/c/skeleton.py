"""What the parts of a C header share: the names in it, and the places where a part has something to say."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.gen.c.names import Words, identifier, map_identifier
from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.gen.script import Address, Call, Item
from bpfas.loader.kinds import MapFlag, MapType
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from bpfas.loader.gen.loader_program import LoaderProgram
    from bpfas.loader.spec import MapSpec

_FACT_SUFFIXES = {
    FactKind.TOKEN: "token_fd",
    FactKind.ARENA_ADDRESS: "address",
    FactKind.TARGET: "target_fd",
    FactKind.TARGET_TYPE: "target_type",
    FactKind.VALUE_SIZE: "value_size",
    FactKind.MEMBER_INDEX: "member_index",
}
ARENA_MEMBER = "arena"
"""The pointer to an arena's data, as bpftool calls it whatever the map is called."""


class Part(NamedTuple):
    """What is in a header for the sake of something that not all objects have.

    `includes` are files of the C library, `shared` C text that is the same in every header (in guards of its own),
    `helpers` functions before those of the skeleton, `state` members of its struct `runner`. The others are
    statements: `opened` in open(), `prepared` before the loader program runs and `loaded` after (both in load(),
    where `err` is an int), `detached` in detach(), `destroyed` in destroy(); `functions` come last. `runner` is an
    expression in the place of libbpf's bpf_load_and_run(&opts). `needs` says, in words, what needs the
    part where it is for programs of user space only; empty for one that is in the kernel's own, too.
    """

    includes: tuple[str, ...] = ()
    shared: str = ""
    helpers: str = ""
    state: str = ""
    opened: str = ""
    prepared: str = ""
    loaded: str = ""
    detached: str = ""
    destroyed: str = ""
    functions: str = ""
    runner: str = ""
    needs: str = ""


class Skeleton:
    """A loader program and the names of its header: `name` begins all of them.

    `maps` and `programs` are members of the structs of these names, by the names of the object; `facts` those of
    struct `loader`; `pointers`, by the names of maps, point to global data.
    """

    def __init__(self, program: LoaderProgram, name: str) -> None:
        self.program = program
        self.name = name
        self.words = Words(name)
        taken: set[str] = set()
        self.maps = {
            entry.spec.name: self.words.member(map_identifier(entry.spec.name), taken)
            for entry in program.context.maps
        }
        taken = set()
        self.programs = {
            entry.spec.name: self.words.member(entry.spec.name, taken) for entry in program.context.programs
        }
        # In names of functions, where it is a part of a word, no word is reserved.
        taken = set()
        self.program_functions = {name: _unique(identifier(name), taken) for name in self.programs}
        self.map_functions: dict[str, str] = {}
        for spec in self.specs():
            # Those of struct_ops are attached, as programs are.
            others = set(self.program_functions.values()) if spec.struct_ops else set()
            unique = _unique(map_identifier(spec.name), taken | others)
            taken.add(unique)
            self.map_functions[spec.name] = unique
        taken = {"failed_step", "reserved"}
        self.facts = {
            (fact.kind, fact.subject): self.words.member(_fact_name(fact.kind, fact.subject), taken)
            for fact in program.context.facts
        }
        taken = {"ctx", "maps", "progs", "loader", "links", "keyring_id", "runner"}
        self.pointers = {
            spec.name: self.words.member(ARENA_MEMBER if is_arena(spec) else map_identifier(spec.name), taken)
            for spec in self.specs()
            if is_mapped(spec)
        }

    def specs(self) -> list[MapSpec]:
        """The maps in the order of the context."""
        return [entry.spec for entry in self.program.context.maps]

    def contents(self, spec: MapSpec) -> bytes:
        """What the map begins with, as far as that does not depend on the machine."""
        if spec.section != KCONFIG_SECTION:
            return spec.contents or b""
        for step in self.program.script.numbered_steps():
            if isinstance(step, Call) and step.subject == f"map {spec.name}":
                value = dict(step.fields).get("value")
                if isinstance(value, Address) and isinstance(value.target, Item):
                    return value.target.data
        return b""

    def fact(self, kind: FactKind, subject: str) -> str | None:
        """The member of struct `loader` that tells a fact; None if the loader program does not ask for it."""
        return self.facts.get((kind, subject))

    def fill(self, template: str, **values: object) -> str:
        """A template with `$X` for the skeleton's name, and other values."""
        return Template(template).substitute(X=self.name, **values)


def is_arena(spec: MapSpec) -> bool:
    """Whether the map is memory that its programs and whoever runs them share."""
    return spec.map_type == MapType.ARENA


def is_mapped(spec: MapSpec) -> bool:
    """Whether the skeleton points to the map's data, in memory that it shares with the kernel."""
    is_data = bool(spec.section) and spec.struct_ops is None and bool(spec.map_flags & MapFlag.MMAPABLE)
    return spec.autocreate and (is_arena(spec) or is_data)


def _fact_name(kind: FactKind, subject: str) -> str:
    suffix = _FACT_SUFFIXES[kind]
    return suffix if kind is FactKind.TOKEN else f"{map_identifier(subject)}_{suffix}"


def _unique(name: str, taken: set[str]) -> str:
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    taken.add(unique)
    return unique
