"""The value of the map `.kconfig`, where the options of generating say all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.kconfig import OPTION_PREFIX, kconfig_contents
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from bpfas.diag import Diagnostics
    from bpfas.loader.gen.options import GenOptions
    from bpfas.loader.spec import Image


def undetermined(image: Image, options: GenOptions) -> list[str]:
    """The variables of `.kconfig` that the options do not say.

    What a program that is to be signed does not know is 0, if it is weak.
    """
    said = _said(options)
    weak_is_zero = options.scheme is not None
    return [
        variable.name
        for variable in image.kconfig
        if variable.name not in said and not (weak_is_zero and variable.is_weak)
    ]


def fixed_kconfig(image: Image, options: GenOptions, diagnostics: Diagnostics) -> bytes | None:
    """The value, None where the kernel that the program runs on is to be asked.

    What is wrong with what the options say goes to `diagnostics`, also where they do not say all.
    """
    spec = next((spec for spec in image.maps.values() if spec.section == KCONFIG_SECTION), None)
    if spec is None:
        return None
    said = _said(options)
    known = [variable for variable in image.kconfig if variable.name in said]
    contents = kconfig_contents(
        known, spec.value_size, DescribedKernel(), options.kconfig, diagnostics, order=image.byte_order
    )
    return None if undetermined(image, options) else contents


def _said(options: GenOptions) -> set[str]:
    """The names of the options that are set. What begins otherwise (LINUX_…) is no option, and cannot be said."""
    lines = options.kconfig.split("\n")
    return {line.partition("=")[0] for line in lines if line.startswith(OPTION_PREFIX)}
