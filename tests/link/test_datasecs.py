"""The DATASECs of the output."""

from __future__ import annotations

import pytest

from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.merge import merge
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Unresolved
from bpfas.objfile import ObjectFile, Section
from tests.link.builders import EXIT, LOAD, code, data, extern, glob, lddw, link_errors, obj, relocated, section_of


def with_variable(obj: ObjectFile, section: str, linkage: Linkage) -> ObjectFile:
    """The object with types that say of `count` that it is an int in a section."""
    types = merge([], [])
    variable = types.add_var("count", types.add_int("int", 4, is_signed=True), linkage)
    types.add_datasec(section, 4, [(variable, 0, 4)])
    obj.sections.append(Section(".BTF", data=types.write(obj.byte_order)))
    return obj


@pytest.mark.parametrize("is_defined", [False, True])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_what_older_linkers_list_as_extern_fits_a_definition_in_any_section(
    is_defined: bool, is_reversed: bool
) -> None:
    """libbpf once listed names that nobody defines in a DATASEC `.extern`, which is no section."""
    user = obj("user.o", relocated(code("xdp", lddw(), EXIT), (0, LOAD, extern("count"))))
    objects = [with_variable(user, ".extern", Linkage.EXTERN)]
    if is_defined:
        home = data()
        objects.append(with_variable(obj("home.o", home, glob("count", home, size=4)), ".data", Linkage.GLOBAL))
    linked = link(objects[::-1] if is_reversed else objects, options=LinkOptions(unresolved=Unresolved.IGNORE))
    btf = read_btf(bytes(section_of(linked, ".BTF").data), ByteOrder.LITTLE, "linked.o")
    (variable,) = btf.ids_of_kind(Kind.VAR)
    assert btf.linkage(variable) is (Linkage.GLOBAL if is_defined else Linkage.EXTERN)
    assert [btf.name(datasec) for datasec in btf.ids_of_kind(Kind.DATASEC)] == [".data"] * is_defined


def test_entries_stand_in_the_order_of_their_places_whoever_mentions_them_first() -> None:
    # Kernels refuse others.
    def typed(made: ObjectFile, names: list[str], linkage: Linkage) -> ObjectFile:
        types = merge([], [])
        number = types.add_int("int", 4, is_signed=True)
        variables = [types.add_var(name, number, linkage) for name in names]
        types.add_datasec(".data", 4, [(variable, 0, 4) for variable in variables])
        made.sections.append(Section(".BTF", data=types.write(made.byte_order)))
        return made

    user = obj("user.o", relocated(code("xdp", lddw(), EXIT), (0, LOAD, extern("second"))))
    home = data(contents=bytes(8))
    symbols = [glob(name, home, place, 4) for name, place in (("first", 0), ("second", 4))]
    objects = [
        typed(user, ["second"], Linkage.EXTERN),
        typed(obj("home.o", home, *symbols), ["first", "second"], Linkage.GLOBAL),
    ]
    btf = read_btf(bytes(section_of(link(objects), ".BTF").data), ByteOrder.LITTLE, "linked.o")
    (datasec,) = btf.ids_of_kind(Kind.DATASEC)
    entries = [(btf.name(entry.type_id), entry.offset) for entry in btf.entries(datasec)]
    assert entries == [("first", 0), ("second", 4)]


def test_more_variables_of_a_section_than_types_can_list_are_an_error() -> None:
    count = 33_000
    objects = []
    for name in ("a.o", "b.o"):
        types = merge([], [])
        number = types.add_int("int", 4, is_signed=True)
        variables = [types.add_var(f"v{index}", number, Linkage.STATIC) for index in range(count)]
        types.add_datasec(".data", 4 * count, [(type_id, 4 * at, 4) for at, type_id in enumerate(variables)])
        home = data(contents=bytes(4 * count))
        objects.append(obj(name, home, Section(".BTF", data=types.write(ByteOrder.LITTLE))))
    assert link_errors(*objects) == (
        "error: section .data would have 66000 variables; types can list 65535 of a section"
    )
