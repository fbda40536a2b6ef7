"""Which names an object's BTF declares to be the kernel's: the DATASECs `.ksyms` and `.kconfig`.

Compilers write them for `extern … __ksym` and `extern … __kconfig`. What the kernel has by these names is
`bpfas.loader.ksyms`. Source: loader.md §2 (externs of libbpf 1.8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind
from bpfas.loader.spec import ExternSource
from bpfas.section_names import KCONFIG_SECTION, KSYMS_SECTION

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf


class ExternDeclaration(NamedTuple):
    """The DATASEC that a name is declared in, and what it is declared to be."""

    section: str
    source: ExternSource


def declared_externs(btf: Btf) -> dict[str, ExternDeclaration]:
    """The names that an object's types declare to be the kernel's."""
    return {
        btf.name(entry.type_id): ExternDeclaration(btf.name(datasec), _source(btf, entry.type_id))
        for datasec in btf.ids_of_kind(Kind.DATASEC)
        if btf.name(datasec) in (KSYMS_SECTION, KCONFIG_SECTION)
        for entry in btf.entries(datasec)
    }


def _source(btf: Btf, type_id: int) -> ExternSource:
    if btf.kind(type_id) is Kind.FUNC:
        return ExternSource.KERNEL_FUNCTION
    type_id = btf.without_qualifiers(btf.size_or_type(type_id))
    return ExternSource.KERNEL_VARIABLE if type_id else ExternSource.KERNEL_ADDRESS
