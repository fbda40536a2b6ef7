"""Images that no kernel of this machine can load are refused before anything is created."""

from __future__ import annotations

import sys

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.loader.image.build import build_image
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.loading.execute import load_image
from bpfas.loader.loading.resolve import resolve
from tests.loader.builders import PASS, code, function, obj


def refusal(*sections: str, order: ByteOrder | None = None) -> str:
    parts = [code(section, PASS) for section in sections]
    symbols = [function(f"prog{index}", section) for index, section in enumerate(parts)]
    host = ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG
    image = build_image(obj(*parts, *symbols, order=order or host))
    with pytest.raises(BpfasError) as caught:
        load_image(image)
    return str(caught.value)


def test_a_section_of_no_program_type() -> None:
    errors = refusal("xdp/foo", "zzz")
    assert "section 'xdp/foo' of program 'prog0' stands for no program type\n>>> did you mean xdp" in errors
    assert "section 'zzz' of program 'prog1' stands for no program type\n>>> name the section" in errors


def test_programs_that_need_the_kernels_btf() -> None:
    section = code("fentry/do_unlinkat", PASS)
    image = build_image(obj(section, function("prog", section)))
    with pytest.raises(BpfasError, match="has no BTF"):
        resolve(image, DescribedKernel(release="4.19"))


def test_struct_ops_programs() -> None:
    assert "no struct of operations refers to it" in refusal("struct_ops/init")


def test_the_other_byte_order_names_both() -> None:
    foreign = ByteOrder.BIG if sys.byteorder == "little" else ByteOrder.LITTLE
    errors = refusal("xdp", order=foreign)
    words = {ByteOrder.BIG: "big-endian", ByteOrder.LITTLE: "little-endian"}
    assert f"the object is {words[foreign]}, but this machine is" in errors


def test_programs_that_are_not_loaded_are_not_checked() -> None:
    section = code("?fentry/do_unlinkat", PASS)
    image = build_image(obj(section, function("prog", section)))
    assert not resolve(image, DescribedKernel(release="6.12")).programs
