"""The objects of the proof of loader programs: those of the loader's proof, others in C, and some in assembly."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.asm import assemble
from bpfas.elf.writer import write_object
from bpfas.loader import open_image
from tests.loader.kernel_support import Need, in_btf, kfunc, listed, module, what_is_wrong
from tests.loader.proof import corpus
from tests.loader.proof.corpus import BEYOND_LIBBPF, Proof, needing
from tests.object_cache import FOLDER as CACHE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.loader import Image

FOLDER = Path(__file__).with_name("programs")


NOT_GENERATED = {
    # The kernel, unlike us, looks for an enum of 64 bits only among its own of 64 bits.
    "wide_enum_values": (),
    # Linux 6.1 gives up (EINVAL) where structs refer to one another, 6.12 does not.
    "type_matches": (Need.ARENA,),
}
"""Programs whose relocations are loaded directly alone, if not on kernels that have something."""


@dataclass(frozen=True)
class Case:
    """An object and what is asked for with it: names of the kernel, sections of programs by their names."""

    proof: Proof
    ksyms: tuple[str, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict)
    is_assembly: bool = False

    def __str__(self) -> str:
        return self.proof.name

    @property
    def name(self) -> str:
        """What the object is called."""
        return self.proof.name

    @property
    def path(self) -> Path:
        """The object's file."""
        if self.is_assembly:
            return assembled(FOLDER / f"{self.name}.s")
        return self.proof.object("-mcpu=v4" if self.name == "jump_tables" else "-mcpu=v3")

    def image(self) -> Image:
        """The object opened anew, without the programs that the running kernel must refuse, or may."""
        image = open_image(self.path, ksyms=self.ksyms)
        for name, section in self.sections.items():
            image.set_program(name, section=section)
        for name in image.programs:
            if self.proof.problem(name) or name in self.proof.undecided or is_for_direct_loading(name):
                image.set_program(name, autoload=False)
        return image


def is_for_direct_loading(program: str) -> bool:
    """Whether the running kernel cannot do what loading directly does for a program."""
    needed = NOT_GENERATED.get(program)
    return needed is not None and (not needed or any(map(what_is_wrong, needed)))


def assembled(source: Path) -> Path:
    """The object of a source in assembly, called as that is."""
    folder = CACHE.parent / "assembled"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{source.stem}.o"
    path.write_bytes(write_object(assemble(source.read_text(), source.name)))
    return path


def in_c(name: str, **what: object) -> Case:
    """An object of this folder in C."""
    return Case(Proof(name, folder=FOLDER, **what))  # type: ignore[arg-type]


CASES = (
    *(Case(proof) for proof in (*corpus.CORPUS, *BEYOND_LIBBPF)),
    Case(Proof("replacement")),
    in_c("data_sections"),
    in_c("functions"),
    in_c("kconfig_few"),
    in_c("locked_data", needs=(in_btf("locks in global data", "bpf_rcu_read_lock"),)),
    in_c("long_names"),
    in_c("many_maps"),
    in_c("many_programs"),
    in_c("maps_in_maps"),
    in_c("module_targets", needs=(Need.TRAMPOLINES, module("nf_conntrack", "nf_conntrack_in"), Need.MODULE_BTF)),
    in_c(
        "names_of_the_kernel",
        needs=(Need.BTF,),
        program_needs=needing("variables", "variables_again", needs=(listed("runqueues"),)),
    ),
    in_c("not_loaded"),
    in_c("one_program"),
    in_c("only_maps"),
    in_c("small_maps"),
    in_c("special_fields", needs=(in_btf("pointers called kptr_untrusted", "bpf_dynptr_from_skb"),)),
    in_c("struct_ops_two", needs=(Need.BTF,)),
    in_c("syscall_programs"),
    in_c("targets", needs=(Need.BTF,)),
    *(Case(Proof(name), is_assembly=True) for name in ("btf_map", "data", "legacy_maps", "plain", "ring")),
    Case(
        Proof("kernel_names", needs=(kfunc("bpf_rcu_read_lock"),)),
        ksyms=("bpf_rcu_read_lock", "bpf_rcu_read_unlock", "vfs_read", "no_such_address"),
        is_assembly=True,
    ),
    Case(Proof("tail_calls"), sections={"first": "tc", "second": "tc"}, is_assembly=True),
)
"""Objects that are loaded alone."""

DEPEND_ON_THE_KERNEL = frozenset(
    {
        *("arena", "core", "exceptions", "iterators", "jump_tables", "kconfig", "kernel_names", "ksyms"),
        *("ksyms_module", "maps", "module_targets", "names_of_the_kernel", "sections_tracing", "small_maps"),
        *("struct_ops", "struct_ops_link", "struct_ops_two"),
    }
)
"""Those of which every kernel makes something else, and every way of execution has to take care."""

REPLACEMENT = Case(Proof("freplace"))
"""One that replaces a function of the program `target` of the object `replacement`."""


@functools.cache
def case(name: str) -> Case:
    """The object of that name."""
    (found,) = (each for each in CASES if each.name == name)
    return found
