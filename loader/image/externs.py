"""Which names an object's BTF declares to be the kernel's: the DATASECs `.ksyms` and `.kconfig`.

Compilers write them for `extern … __ksym` and `extern … __kconfig`. What the kernel has by these names is
`bpfas.loader.loading.ksyms`. Source: the externs of libbpf 1.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.kinds import Kind
from bpfas.loader.spec import ExternSource
from bpfas.section_names import KCONFIG_SECTION, KSYMS_SECTION

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf


class ExternDeclaration(NamedTuple):
    """The DATASEC that a name is declared in, and what it is declared to be: the VAR or FUNC `type_id`."""

    section: str
    source: ExternSource
    type_id: int


def declared_externs(types: Btf) -> dict[str, ExternDeclaration]:
    """The names that an object's types declare to be the kernel's."""
    return {
        types.name(entry.type_id): ExternDeclaration(
            types.name(datasec), _source(types, entry.type_id), entry.type_id
        )
        for datasec in types.ids_of_kind(Kind.DATASEC)
        if types.name(datasec) in (KSYMS_SECTION, KCONFIG_SECTION)
        for entry in types.entries(datasec)
    }


def _source(types: Btf, type_id: int) -> ExternSource:
    if types.kind(type_id) is Kind.FUNC:
        return ExternSource.KERNEL_FUNCTION
    type_id = types.without_qualifiers(types.size_or_type(type_id))
    return ExternSource.KERNEL_VARIABLE if type_id else ExternSource.KERNEL_ADDRESS
