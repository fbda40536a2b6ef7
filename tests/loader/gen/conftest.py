"""What tests of loader programs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.loader import open_image
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.options import NO_GEN_OPTIONS
from bpfas.loader.gen.python.module import python_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bpfas.loader.spec import Image


@pytest.fixture
def write_module(compile_c: Callable[..., str], tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the module `app.py` of a C source (or an Image) and gives its path."""

    def write(source: str | Image, options: GenOptions = NO_GEN_OPTIONS, *, name: str = "app") -> Path:
        image = open_image(compile_c(source, "-g", name=name)) if isinstance(source, str) else source
        path = tmp_path / "app.py"
        path.write_text(python_module(generate(image, options)))
        return path

    return write
