"""The options that describe a kernel which is not the running one, for what needs no kernel that runs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bpfas.cli import read_input
from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.loader.cli.common import warn
from bpfas.loader.kernel.version import parse_version

if TYPE_CHECKING:
    import argparse

    from bpfas.loader.kernel.described import DescribedKernel


def add_kernel_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `described_kernel` looks at, besides --btf."""
    parser.add_argument("--config", metavar="FILE", help="with --dry-run, a kernel's configuration")
    parser.add_argument("--release", metavar="RELEASE", help="with --dry-run, its release, as uname -r has it")
    parser.add_argument("--kallsyms", metavar="FILE", help="with --dry-run, its /proc/kallsyms")


def described_kernel(options: argparse.Namespace) -> contextlib.AbstractContextManager[DescribedKernel] | None:
    """The kernel that the options describe, None if there are none of them."""
    if not (options.btf or options.config or options.release or options.kallsyms):
        return None
    from bpfas.loader.kernel.config_text import decoded_config
    from bpfas.loader.kernel.described import DescribedKernel
    from bpfas.loader.kernel.type_files import types_in_file

    if options.release and not parse_version(options.release):
        raise BpfasError.of(f"'{options.release}' is no release, as uname -r has it: 6.12.0, 5.4")
    config = (decoded_config(read_input(options.config)), options.config) if options.config else None
    kernel = DescribedKernel(
        types_in_file(options.btf) if options.btf else None,
        config=config,
        release=options.release or "",
        kallsyms=read_input(options.kallsyms) if options.kallsyms else b"",
    )
    if not kernel.is_dated:
        warn([Diagnostic(Severity.WARNING, _UNDATED, options.btf, (_DATING,))], options)
    return contextlib.nullcontext(kernel)


_UNDATED = "these types do not tell how old the kernel is, which is taken to have all that the loader knows of"
_DATING = "say it: --release 5.4"
