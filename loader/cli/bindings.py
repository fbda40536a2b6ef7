"""`bpf-load bindings`: what the names are bound to that an object leaves to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.cli import report
from bpfas.loader.cli.common import object_parser, objects, print_json
from bpfas.loader.image.build import describe_bindings
from bpfas.loader.spec import BindingKind

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
List the names that OBJ uses and does not define, and what each is bound to. Loads nothing and asks nothing of the
kernel. Exit status: 0 none is open, 1 OBJ cannot be loaded like this.
"""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    options = object_parser(name, _DESCRIPTION).parse_intermixed_args(arguments)
    obj, libraries = objects(options)
    bindings = describe_bindings(obj, libraries, options.ksyms)
    if options.json:
        print_json(report.bindings_json(bindings))
    else:
        print(report.bindings_text(bindings))
    return int(any(binding.kind is BindingKind.OPEN for binding in bindings))
