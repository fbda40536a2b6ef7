"""An Image to a LoaderProgram: composed into a Script, which becomes instructions and data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.gen.compose import compose
from bpfas.loader.gen.emission.emit import emit_script
from bpfas.loader.gen.emission.hash_check import check_of
from bpfas.loader.gen.loader_program import LoaderProgram
from bpfas.loader.gen.options import NO_GEN_OPTIONS
from bpfas.loader.gen.trace import step_words

if TYPE_CHECKING:
    from bpfas.loader.gen.options import GenOptions
    from bpfas.loader.spec import Image

_MOST_INSTRUCTIONS = 1_000_000
_LARGEST_DATA = (1 << 31) - 1


def generate(image: Image, options: GenOptions = NO_GEN_OPTIONS) -> LoaderProgram:
    """The loader program of an image, the same on every machine; needs no privilege.

    Raises BpfasError with everything that is wrong with the image, or that no loader program can do.
    """
    script, context, warnings = compose(image, options)
    check = check_of(options.scheme, image.byte_order)
    words = step_words if options.debug else None
    instructions, data = emit_script(script, context, image.byte_order, check=check, words=words)
    for what, size, largest in (
        ("instructions", len(instructions) // 8, _MOST_INSTRUCTIONS),
        ("bytes of data", len(data), _LARGEST_DATA),
    ):
        if size > largest:
            message = f"the loader program would have {size} {what}; the kernel takes {largest}"
            raise BpfasError.of(message, image.name, ("make it several objects",))
    return LoaderProgram(
        options.name or image.name,
        image.byte_order,
        instructions,
        data,
        context,
        script,
        image,
        options.kconfig,
        options.scheme,
        warnings=warnings,
    )
