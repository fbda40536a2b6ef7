"""Maps that variables of `.maps` define by their types, from C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.loader.image import build_image
from bpfas.loader.kinds import MapType

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.spec import Image

pytestmark = pytest.mark.peer

Build = "Callable[[str], Image]"

HASH = """struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __type(key, int);
    __type(value, long long);
} counts SEC(".maps");
"""


@pytest.fixture
def build(compile_c: Callable[..., str]) -> Callable[[str], Image]:
    """A function that compiles C and gives the object's image."""

    def build_source(source: str) -> Image:
        path = compile_c(source, "-g")
        with open(path, "rb") as file:
            return build_image(read_object(file.read(), path))

    return build_source


@pytest.fixture
def errors(build: Callable[[str], Image]) -> Callable[[str], str]:
    """A function that compiles C and gives what its image's making reports."""

    def errors_of(source: str) -> str:
        with pytest.raises(BpfasError) as caught:
            build(source)
        return str(caught.value)

    return errors_of


def test_a_definition_says_type_sizes_and_entries(build: Callable[[str], Image]) -> None:
    image = build(HASH)
    spec = image.maps["counts"]
    assert (spec.map_type, spec.key_size, spec.value_size, spec.max_entries) == (MapType.HASH, 4, 8, 16)
