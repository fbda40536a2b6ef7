"""An object's types as kernels take them: the same ids, without what only loaders understand.

Kernels refuse declarations (`extern`), DATASECs that are no sections, and functions whose parameters have no
names. What older kernels refuse besides is `bpfas.loader.loading.btf_sanitize`.

Sources: libbpf 1.8; the kernel's btf.rst.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bpfas.btf.edit import BtfEditor
from bpfas.btf.kernel_rules import with_named_parameters
from bpfas.btf.kinds import Kind, Linkage, info_word
from bpfas.btf.writer import write_btf
from bpfas.section_names import KCONFIG_SECTION, KSYMS_SECTION

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bpfas.btf.btf import Btf
    from bpfas.loader.spec import KconfigVariable

_INT_SIZE = 4
"""Bytes that the entries of `.ksyms`, and enumerations without values, are said to have."""

_DUMMY = "dummy_ksym"


def kernel_btf(
    types: Btf, kconfig: Sequence[KconfigVariable] = (), kconfig_size: int = 0, own_functions: Collection[int] = ()
) -> bytes:
    """The contents of `.BTF` for the kernel.

    `kconfig` are the variables of the map `.kconfig`, which has `kconfig_size` bytes. The FUNCs
    `own_functions` are said to be static: the verifier looks at them where they are called.
    """
    return _KernelForm(types).data(kconfig, kconfig_size, own_functions)


class _KernelForm:
    """The making of one object's types."""

    def __init__(self, types: Btf) -> None:
        self.types = with_named_parameters(types, types.ids_of_kind(Kind.FUNC))
        self.editor = BtfEditor(self.types)

    @cached_property
    def int32(self) -> int:
        """An integer of 32 bits, which is added if there is none."""
        types = self.types
        for type_id in types.ids_of_kind(Kind.INT):
            encoding = types.encoding(type_id)
            if types.size_or_type(type_id) == _INT_SIZE and (encoding.bits, encoding.bit_offset) == (32, 0):
                return type_id
        return self.editor.add_int("int", _INT_SIZE, is_signed=True)

    def data(self, kconfig: Sequence[KconfigVariable], kconfig_size: int, own_functions: Collection[int]) -> bytes:
        types = self.types
        for datasec in types.ids_of_kind(Kind.DATASEC):
            name = types.name(datasec)
            if name == KSYMS_SECTION:
                self.rewrite_ksyms(datasec)
            elif name == KCONFIG_SECTION:
                self.rewrite_kconfig(datasec, kconfig, kconfig_size)
            elif not types.size_or_type(datasec) or not types.vlen(datasec):
                self.set_datasec(datasec, 0, [])
        for variable in types.ids_of_kind(Kind.VAR):
            if types.linkage(variable) is Linkage.EXTERN:
                self.editor.set_linkage(variable, Linkage.GLOBAL)
                if not types.without_qualifiers(types.size_or_type(variable)):
                    self.editor.record(variable)[2] = self.int32
        for declared in types.ids_of_kind(Kind.FWD):
            if types.size_or_type(declared):  # GCC 12 writes some
                self.editor.record(declared)[2] = 0
        for enumeration in types.ids_of_kind(Kind.ENUM):
            if not types.size_or_type(enumeration):  # clang writes some that are only declared
                self.editor.record(enumeration)[2] = _INT_SIZE
        for function in types.ids_of_kind(Kind.FUNC):
            self.settle_function(function, own_functions)
        result = self.editor.finish()
        return write_btf(result.words, result.strings, result.order)

    def rewrite_ksyms(self, datasec: int) -> None:
        """Make the entries of `.ksyms` 4-byte integers one behind the other, and one variable of all functions."""
        dummy = 0
        variables = []
        for entry in self.types.entries(datasec):
            if self.types.kind(entry.type_id) is Kind.VAR:
                self.editor.record(entry.type_id)[2] = self.int32
                variables.append(entry.type_id)
            else:
                dummy = dummy or self.editor.add_var(_DUMMY, self.int32, Linkage.GLOBAL)
                variables.append(dummy)
        entries = [(variable, _INT_SIZE * index, _INT_SIZE) for index, variable in enumerate(variables)]
        self.set_datasec(datasec, _INT_SIZE * len(entries), entries)

    def rewrite_kconfig(self, datasec: int, kconfig: Sequence[KconfigVariable], size: int) -> None:
        """Say where the variables of the map `.kconfig` lie."""
        ids = {self.types.name(entry.type_id): entry.type_id for entry in self.types.entries(datasec)}
        entries = [
            (ids[variable.name], variable.offset, variable.size) for variable in kconfig if variable.name in ids
        ]
        self.set_datasec(datasec, size, entries)

    def set_datasec(self, datasec: int, size: int, entries: Sequence[tuple[int, int, int]]) -> None:
        """Change a DATASEC; kernels refuse one without entries, but the ids must stay: it becomes a struct."""
        if entries:
            self.editor.set_datasec(datasec, size, entries)
        else:
            self.editor.replace(datasec, (0, info_word(Kind.STRUCT), 0))

    def settle_function(self, function: int, own_functions: Collection[int]) -> None:
        """Give a FUNC the linkage, and a name, that kernels take."""
        linkage, name = self.types.linkage(function), self.types.name(function)
        if not name:
            self.editor.record(function)[0] = self.editor.string("unnamed")  # GCC 12 writes some
        if linkage is Linkage.EXTERN:
            self.editor.set_linkage(function, Linkage.GLOBAL)
        elif linkage is Linkage.GLOBAL and function in own_functions:
            self.editor.set_linkage(function, Linkage.STATIC)
