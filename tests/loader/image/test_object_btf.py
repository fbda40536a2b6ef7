"""Types as compilers leave them, and what the symbols and relocations of their object add."""

from __future__ import annotations

import pytest

from bpfas.btf.kinds import Linkage
from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import SymbolBinding, SymbolType, SymbolVisibility
from bpfas.loader.image.object_btf import read_object_types
from bpfas.objfile import ObjectFile, Relocation, Section, Symbol
from bpfas.reloc import RelocationNumber
from tests.btf.builders import Types, listing
from tests.loader.builders import bss, data, obj, section_symbol, undefined, variable


def datasecs(source: ObjectFile) -> list[str]:
    """The DATASECs and VARs of the object's types, completed."""
    diagnostics = Diagnostics()
    types = read_object_types(source, diagnostics)
    assert types is not None
    assert not diagnostics.items
    return [line for line in listing(types.btf) if " DATASEC " in line or " VAR " in line]


def unplaced(*linkages: Linkage) -> Types:
    """Types of two or more variables of `.data`, of which nothing tells where they lie."""
    types = Types()
    integer = types.integer()
    variables = [types.var(f"v{number}", integer, linkage) for number, linkage in enumerate(linkages)]
    types.datasec(".data", [(each, 0, 4) for each in variables])
    return types


def test_symbols_say_where_variables_lie() -> None:
    types, home = unplaced(Linkage.GLOBAL, Linkage.GLOBAL), data(".data", bytes(12))
    source = obj(home, variable("v0", home, 8), variable("v1", home, 0), data(".BTF", types.data()))
    assert datasecs(source)[-1] == "4 DATASEC .data 3@0+4 2@8+4"


def test_places_that_are_given_count() -> None:
    types, home = Types(), data(".data", bytes(12))
    first = types.var("v0", types.integer())
    types.datasec(".data", [(first, 4, 4)], 12)
    assert datasecs(obj(home, variable("v0", home, 8), data(".BTF", types.data())))[-1] == "3 DATASEC .data 2@4+4"


def test_relocations_say_where_static_variables_lie() -> None:
    types, home = unplaced(Linkage.STATIC, Linkage.STATIC), data(".data", bytes(12))
    section = data(".BTF", types.data())
    # The entries are the last words of the types, the offset the second of three; addends stand in the fields.
    contents, entries = bytearray(section.data), 24 + 4 * len(types.words) - 24
    contents[entries + 4 : entries + 8] = (8).to_bytes(4, "little")
    section.data = bytes(contents)
    symbol = section_symbol(home)
    section.relocations += [
        Relocation(entries + 12 * index + 4, RelocationNumber.R_BPF_64_NODYLD32, symbol) for index in range(2)
    ]
    assert datasecs(obj(home, symbol, section))[-1] == "4 DATASEC .data 3@0+4 2@8+4"


def test_gcc_numbers_static_variables_of_functions() -> None:
    types, home = unplaced(Linkage.STATIC), bss(".data", 12)
    symbol = Symbol("v0.17", home, 8, 4, SymbolBinding.LOCAL, SymbolType.OBJECT)
    assert datasecs(obj(home, symbol, data(".BTF", types.data())))[-1] == "3 DATASEC .data 2@8+4"


@pytest.mark.parametrize("visibility", [SymbolVisibility.HIDDEN, SymbolVisibility.INTERNAL])
def test_hidden_variables_are_static(visibility: SymbolVisibility) -> None:
    types, home = unplaced(Linkage.GLOBAL, Linkage.GLOBAL), data(".data", bytes(8))
    hidden = variable("v0", home)
    hidden.st_visibility = visibility
    found = datasecs(obj(home, hidden, variable("v1", home, 4), data(".BTF", types.data())))
    assert found[:2] == ["2 VAR v0 1 STATIC", "3 VAR v1 1 GLOBAL"]


def test_what_is_only_declared_is_not_listed() -> None:
    types, home = unplaced(Linkage.EXTERN, Linkage.GLOBAL), data(".data", bytes(8))
    source = obj(home, undefined("v0"), variable("v1", home, 4), data(".BTF", types.data()))
    assert datasecs(source)[-1] == "4 DATASEC .data 3@4+4"


def test_a_section_without_places_stays_as_it_is() -> None:
    types, home = unplaced(Linkage.GLOBAL), data(".data", bytes(8))
    assert datasecs(obj(home, data(".BTF", types.data())))[-1] == "3 DATASEC .data 2@0+4"


def needing(*parts: Section | Symbol) -> ObjectFile:
    """An object with types that nobody can read."""
    return obj(*parts, data(".BTF", b"\x9f\xeb"))


@pytest.mark.parametrize("name", [".maps", ".struct_ops", "?.struct_ops.link"])
def test_objects_that_are_described_by_their_types_need_them(name: str) -> None:
    diagnostics = Diagnostics()
    assert read_object_types(needing(data(name, bytes(8))), diagnostics) is None
    with pytest.raises(BpfasError, match="has 2 bytes, but its header alone has 24"):
        diagnostics.raise_if_errors()


def test_others_do_without() -> None:
    diagnostics = Diagnostics()
    assert read_object_types(needing(data(".data", bytes(8))), diagnostics) is None
    diagnostics.raise_if_errors()
    assert [each.notes for each in diagnostics.items] == [("the object is loaded without its types",)]


def test_lines_that_cannot_be_read_leave_the_types() -> None:
    diagnostics = Diagnostics()
    source = obj(data(".BTF", unplaced(Linkage.STATIC).data()), data(".BTF.ext", bytes(24)))
    types = read_object_types(source, diagnostics)
    assert types is not None
    assert not any(types.ext)
    assert [each.severity.value for each in diagnostics.items] == ["warning"]
