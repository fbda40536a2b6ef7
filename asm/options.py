"""What can be chosen about an assembly."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfas.elf.constants import ByteOrder
from bpfas.isa import Dialect, IsaVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.listing_options import ListingOptions
    from bpfas.asm.template_cache import TemplateCache


class Reading(enum.Enum):
    """How sources are read. All ways give the same object and the same errors."""

    PLAIN = "every statement is parsed by Lark: the reference for the others"
    SHAPES = "Lark parses every shape of statement once"
    BATCHES = "long runs of instructions are encoded together"
    BEST = "by shapes or in batches, by the size of the source"


@dataclass(frozen=True, eq=False, slots=True)
class Options:
    """What the command line can choose.

    `dialect` restricts instructions to one way to write them, `isa` to those of a version. `relax` says whether
    jumps that do not reach are lengthened, which takes instructions of v4. `include_directories` are where
    `.include` and `.incbin` look for files, `symbols` are defined before the first source is read, `print_line` is
    what `.print` does.

    With a `debug_version`, that of DWARF, 2 to 5, the source is described for debuggers (-g); `debug_prefixes` are
    beginnings of paths there, each with what it is replaced by. `keeps_local_labels` puts `.L…` into the symbol
    table, `strips_local_absolute` takes names of numbers out of it. `folds_data_into_text` puts what is for .data
    behind the instructions of .text. With `checks_sizes` a size that is no number is an error, else a warning.
    `substitutes_section_names`: `%S` in the name of a section stands for the current one's. `alternate_macros`:
    reading begins in `.altmacro`. With `listing` there is a listing; then no source is read in batches.
    `template_cache` has the templates of earlier runs, and gets those of this one.
    """

    byte_order: ByteOrder = ByteOrder.LITTLE
    dialect: Dialect | None = None
    isa: IsaVersion = IsaVersion.XBPF
    reading: Reading = Reading.BEST
    relax: bool = True
    include_directories: tuple[str, ...] = ()
    symbols: tuple[tuple[str, int], ...] = ()
    print_line: Callable[[str], None] = print
    debug_version: int | None = None
    debug_prefixes: tuple[tuple[str, str], ...] = ()
    keeps_local_labels: bool = False
    strips_local_absolute: bool = False
    folds_data_into_text: bool = False
    checks_sizes: bool = True
    substitutes_section_names: bool = False
    alternate_macros: bool = False
    listing: ListingOptions | None = None
    template_cache: TemplateCache | None = None

    @property
    def lengthens_jumps(self) -> bool:
        """Whether jumps that do not reach may become longer ones, which are instructions of v4."""
        return self.relax and self.isa >= IsaVersion.V4
