"""Sections that are read when somebody asks for them are as they would be had they been read at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from tests.elf.samples import Image, sample
from tests.elf.strategies import essence, objects

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile, Section


def every_section(_: Section) -> bool:
    return True


@given(objects())
def test_an_object_read_on_demand_is_the_object(obj: ObjectFile) -> None:
    written = write_object(obj)
    assert essence(read_object(written, obj.name, on_demand=every_section)) == essence(obj)
    assert write_object(read_object(memoryview(written), obj.name, on_demand=every_section)) == written


def test_who_decides_sees_the_header_of_each_section() -> None:
    seen: list[tuple[str, int]] = []

    def note(section: Section) -> bool:
        seen.append((section.name, section.sh_flags))
        return False

    read_object(write_object(sample()), "a.o", on_demand=note)
    assert seen == [(section.name, section.sh_flags) for section in sample().sections]


def test_relocations_that_nobody_asks_for_are_not_checked() -> None:
    image = Image.of(sample())
    relocations = next(i for i in range(image.section_count) if image.header(i)["type"] == 9)
    image.data[image.header(relocations)["offset"]] = 0x19
    data = bytes(image.data)
    with pytest.raises(BpfasError, match="lies beyond the section's end"):
        read_object(data, "a.o")
    section = read_object(data, "a.o", on_demand=lambda section: section.name == "xdp").sections[0]
    assert section.data == sample().sections[0].data
    # Who asks again hears it again.
    for _ in range(2):
        with pytest.raises(BpfasError, match="lies beyond the section's end at 0x20"):
            _ = section.relocations
    section.relocations = []
    assert section.relocations == []


def test_an_attribute_that_there_is_not_is_said_so() -> None:
    section = read_object(write_object(sample()), "a.o", on_demand=every_section).sections[0]
    with pytest.raises(AttributeError, match="colour"):
        section.colour  # type: ignore[attr-defined]  # noqa: B018
