"""`bpf-load check-core`: which kernels have the types and members that an object's CO-RE relocations ask for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.cli.common import image_of_object, object_parser, print_json
from bpfas.loader.cli.messages import DONE, NOT_THERE, is_colored
from bpfas.loader.core.kinds import WORDS
from bpfas.loader.core.survey import Outcome, survey
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.running import RunningKernel
from bpfas.loader.kernel.type_files import VMLINUX_BTF, module_in_file, types_in_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from bpfas.diag import Diagnostic
    from bpfas.loader.core.survey import Finding
    from bpfas.loader.kernel.kernel import TypedKernel

    _Judged = tuple[Finding, str]

_DESCRIPTION = """\
Tell for each kernel whose types BTF has (raw, as /sys/kernel/btf/vmlinux, or an ELF file with a section .BTF; of a
directory all files) which CO-RE relocations of OBJ resolve, and what is lacking. Without BTF: the running kernel.
Nothing is loaded, and no privilege is needed.
"""
_EPILOG = """\
What is said of a relocation: resolved, with its value; absent, where the program asks whether something is there;
guarded, where it lacks what the same program asks for, as in `if (bpf_core_field_exists(…))`; missing, where the
kernel refuses the program if it can come to the instruction; error, where the object cannot be loaded.
Exit status: 0 nothing is missing, 1 a file is at fault, 2 something is missing.
"""
_GUARDED = "guarded"
_BAD = (Outcome.POISONED.value, Outcome.ERROR.value)
_STYLES = {
    Outcome.RESOLVED.value: "32",
    Outcome.ABSENT.value: "33",
    _GUARDED: "33",
    Outcome.POISONED.value: "1;31",
    Outcome.ERROR.value: "1;31",
}
"""Of what is said: green, yellow, bold red (ECMA-48, SGR)."""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = object_parser(name, _DESCRIPTION, _EPILOG)
    parser.add_argument("kernels", metavar="BTF", nargs="*", help="the types of a kernel, or a directory of such")
    parser.add_argument(
        "--module", metavar="FILE", dest="modules", action="append", default=[],
        help="the types of a module of the only BTF that is given (may be given several times)",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="show the relocations that resolve, too")
    options = parser.parse_intermixed_args(arguments)
    image = image_of_object(options)
    paths = [path for given in options.kernels for path in _files(given)]
    if options.modules and len(paths) != 1:
        raise BpfasError.of(f"--module takes one BTF, which the module belongs to, not {len(paths)}")
    unread: list[Diagnostic] = []
    kernels = _kernels(paths, options.modules, unread)
    found = [(kernel.name, _judged(survey(image, [kernel]))) for kernel in kernels]
    if options.json:
        print_json([_kernel_json(kernel, group) for kernel, group in found])
    elif found and not any(findings for _, findings in found):
        print(f"{image.name} has no CO-RE relocations: it does not depend on a kernel's types")
    else:
        print("\n".join(line for kernel, group in found for line in _lines(kernel, group, options)))
    if unread:
        raise BpfasError(unread)
    is_good = all(word not in _BAD for _, findings in found for _, word in findings)
    return DONE if is_good else NOT_THERE


def _files(given: str) -> list[str]:
    """The file, or all files of the directory."""
    if not os.path.isdir(given):
        return [given]
    found = sorted(str(path) for path in Path(given).rglob("*") if path.is_file())
    if not found:
        raise BpfasError.of(f"there are no files in {given}")
    return found


def _kernels(paths: Sequence[str], modules: Sequence[str], unread: list[Diagnostic]) -> Iterator[TypedKernel]:
    """The kernels one by one; each is forgotten when the next one's turn comes.

    What is wrong with files that cannot be read goes to `unread`.
    """
    if not paths:
        with RunningKernel() as running:
            if running.types is None:
                raise BpfasError.of(
                    f"the running kernel has no types: there is no {VMLINUX_BTF}", None, ("give a file with BTF",)
                )
            yield running
    for path in paths:
        try:
            types = types_in_file(path)
            described = DescribedKernel(types, [module_in_file(module, types) for module in modules], name=path)
        except BpfasError as error:
            unread += error.diagnostics
        else:
            yield described


def _judged(found: Iterable[Finding]) -> list[_Judged]:
    """The findings about a kernel, each with the word for it."""
    findings = list(found)
    asked_for = {
        (finding.access, program)
        for finding in findings
        if finding.outcome is Outcome.ABSENT
        for program, _ in finding.programs
    }

    def is_guarded(finding: Finding) -> bool:
        """Whether every program with the relocation asks for the member, or for the type that it is of."""
        wholes = {finding.access, finding.access.partition(".")[0]}
        return finding.outcome is Outcome.POISONED and all(
            any((whole, program) in asked_for for whole in wholes) for program, _ in finding.programs
        )

    return [(finding, _GUARDED if is_guarded(finding) else finding.outcome.value) for finding in findings]


def _kernel_json(kernel: str, findings: Sequence[_Judged]) -> dict[str, object]:
    return {
        "kernel": kernel,
        "satisfied": all(word not in _BAD for _, word in findings),
        "relocations": [_finding_json(finding, word) for finding, word in findings],
    }


def _finding_json(finding: Finding, word: str) -> dict[str, object]:
    return {
        "kind": WORDS[finding.kind] if finding.kind is not None else None,
        "access": finding.access,
        "outcome": word,
        "value": finding.value,
        "reason": finding.reason,
        "near": list(finding.near),
        "places": [{"program": program, "instruction": at} for program, at in finding.programs],
    }


def _lines(kernel: str, findings: Sequence[_Judged], options: argparse.Namespace) -> Iterator[str]:
    bad = sum(word in _BAD for _, word in findings)
    yield f"{kernel}: {bad or 'none'} of {len(findings)} relocations missing"
    for finding, word in findings:
        if options.all or finding.outcome is not Outcome.RESOLVED:
            shown = f"{word:8}"
            if is_colored(options.color):
                shown = f"\33[{_STYLES[word]}m{shown}\33[0m"
            programs = ", ".join(dict.fromkeys(program for program, _ in finding.programs))
            yield f"  {shown}  {finding.text}  ({programs})"
