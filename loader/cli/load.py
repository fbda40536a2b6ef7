"""`bpf-load load`: load an object, report, unload; or with --dry-run say what would be loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.cli import report
from bpfas.loader.cli.common import (
    LOADER_PROGRAM_MAGIC,
    begins_with,
    image_of,
    load_options,
    loaded,
    loading_parser,
    print_json,
    warn,
)
from bpfas.loader.cli.kernels import add_kernel_options, described_kernel
from bpfas.loader.kernel.running import RunningKernel
from bpfas.loader.loading.plan_text import plan_json, plan_text
from bpfas.loader.loading.resolve import resolve

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_DESCRIPTION = """\
Load OBJ, report its programs and maps, unload. With --dry-run nothing is loaded and no privilege is needed: the
maps and instructions are shown as the kernel would get them, the running one or one that --btf describes.
"""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = loading_parser(name, _DESCRIPTION)
    parser.add_argument("--dry-run", action="store_true", help="show what would be loaded, and load nothing")
    add_kernel_options(parser)
    options = parser.parse_intermixed_args(arguments)
    if options.dry_run:
        return _dry_run(options)
    if options.config or options.release or options.kallsyms:
        raise BpfasError.of(
            "--config, --release and --kallsyms describe a kernel for --dry-run; to load, leave them out"
        )
    with loaded(options) as collection:
        if options.json:
            print_json(report.collection_json(collection))
        else:
            print(report.collection_text(collection))
            for program in collection.programs.values():
                if program.log:
                    print(f"\nthe verifier's log of {program.name}:\n{program.log}")
    return 0


def _dry_run(options: argparse.Namespace) -> int:
    if begins_with(options.object, LOADER_PROGRAM_MAGIC):
        raise BpfasError.of(
            "a loader program finds out what it loads when it is run",
            options.object,
            ("bpf-load gen --trace FILE shows what it does",),
        )
    described = described_kernel(options)
    with described or RunningKernel() as kernel:
        plan = resolve(image_of(options), kernel, load_options(options)._replace(btf=None))
        if options.json:
            print_json(plan_json(plan))
        else:
            warn(plan.warnings, options)
            print(plan_text(plan))
    return 0
