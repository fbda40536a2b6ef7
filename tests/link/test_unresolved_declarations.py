"""Declarations in the DATASEC `.extern`, as older linkers of libbpf write them for names that nobody defines."""

from __future__ import annotations

import pytest

from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.merge import merge
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import ByteOrder
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Unresolved
from bpfas.objfile import ObjectFile, Section
from tests.link.builders import EXIT, LOAD, code, data, extern, glob, lddw, obj, relocated, section_of


def with_variable(obj: ObjectFile, section: str, linkage: Linkage) -> ObjectFile:
    """The object with types that say of `count` that it is an int in a section."""
    types = merge([], [])
    variable = types.add_var("count", types.add_int("int", 4, is_signed=True), linkage)
    types.add_datasec(section, 4, [(variable, 0, 4)])
    obj.sections.append(Section(".BTF", data=types.write(obj.byte_order)))
    return obj


@pytest.mark.parametrize("is_defined", [False, True])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_they_fit_a_definition_in_any_section(is_defined: bool, is_reversed: bool) -> None:
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
