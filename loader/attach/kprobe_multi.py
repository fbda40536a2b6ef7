"""Many kprobes as one link: by a pattern, by names or by addresses, each with a cookie of its own.

Needs a kernel with fprobes (CONFIG_FPROBE, since Linux 5.18; sessions since 6.12), and a program that was loaded
for it (section `kprobe.multi`, `kretprobe.multi` or `kprobe.session`). Source: libbpf 1.8.
"""

from __future__ import annotations

import array
import errno
import fnmatch
import re
import struct
from typing import TYPE_CHECKING

from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.kernel_functions import explain_missing_function, symbols
from bpfas.loader.attach.link import create_link
from bpfas.loader.attach.pointers import name_pointers, word_pointer
from bpfas.loader.attach.section_target import is_return, malformed, section_target
from bpfas.loader.attach.tracefs import NOT_MOUNTED, TracedFunction, traced_functions, tracing_directory
from bpfas.loader.kernel.config_text import why_unset
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_FORM = "PATTERN"
_PATTERN = re.compile(r"[A-Za-z0-9_.*?]+")
_RETURN = 1
"""BPF_F_KPROBE_MULTI_RETURN"""


def attach_kprobe_multi(
    program: Attachable,
    *,
    pattern: str | None = None,
    functions: Sequence[str] | None = None,
    addresses: Sequence[int] | None = None,
    cookies: Sequence[int] | None = None,
    retprobe: bool | None = None,
) -> Link:
    """Attach a program to many functions of the kernel: those that match `pattern` (`*`, `?`), or that are given.

    Without any of the three, to those of the section (`kprobe.multi/tcp_*`). `cookies` are as many as the
    functions or addresses. Raises AttachError.
    """
    if sum(each is not None for each in (pattern, functions, addresses)) > 1:
        raise TypeError("attach() takes one of pattern, functions and addresses")
    if pattern is None and functions is None and addresses is None:
        pattern = section_target(program, _FORM)
    is_session = program.spec.expected_attach_type == AttachType.TRACE_KPROBE_SESSION
    returns = is_return(program) if retprobe is None else retprobe
    kind = "kprobe.session" if is_session else "kretprobe.multi" if returns else "kprobe.multi"
    if pattern is not None:
        target = f"{kind} {pattern}"
        if not _PATTERN.fullmatch(pattern):
            raise malformed(program, pattern, _FORM)
        functions, addresses = _matching(program, target, pattern)
    count = len(functions or addresses or ())
    target = f"{kind} {pattern or ', '.join(functions or map(hex, addresses or ()))}"
    if not count:
        raise attach_error(
            program,
            target,
            errno.ENOENT,
            explanation=Explanation("there is nothing to attach it to", "name functions"),
        )
    if cookies is not None and len(cookies) != count:
        cause = f"there are {len(cookies)} cookies for {count} functions"
        raise attach_error(
            program, target, errno.EINVAL, explanation=Explanation(cause, "give one for each, in the same order")
        )
    names = name_pointers(functions or ())
    places = array.array("Q", addresses or ())
    values = array.array("Q", cookies or ())
    options = struct.pack(
        "=IIQQQ",
        _RETURN if returns and not is_session else 0,
        count,
        names.address,
        word_pointer(places),
        word_pointer(values),
    )

    def cause_of(number: int) -> Explanation | None:
        return _cause(number, functions)

    return create_link(program, target, 0, program.spec.expected_attach_type, 0, options, cause_of)


def _matching(program: Attachable, target: str, pattern: str) -> tuple[list[str] | None, list[int] | None]:
    """The functions that match, by their names, or by their addresses where the kernel lists these."""
    if not set(pattern) & set("*?"):
        return [pattern], None
    found = [each for each in _traced(program, target) if fnmatch.fnmatchcase(each.name, pattern)]
    if not found:
        raise attach_error(
            program,
            target,
            errno.ENOENT,
            explanation=Explanation(
                f"no function that the kernel can trace matches '{pattern}'",
                "available_filter_functions, of the tracing files, lists them",
            ),
        )
    if all(each.address for each in found):
        return None, [each.address for each in found]
    # Names that occur several times are not for the kernel to choose from.
    known = symbols()
    return sorted({each.name for each in found if len(known.get(each.name, ())) == 1}), None


def _traced(program: Attachable, target: str) -> list[TracedFunction]:
    tracing = tracing_directory()
    if tracing is None:
        explanation = Explanation("the tracing files, which list the functions, are not mounted", NOT_MOUNTED)
        raise attach_error(program, target, errno.ENOENT, explanation=_not_configured() or explanation)
    try:
        return traced_functions(tracing)
    except OSError as error:
        raise attach_error(program, target, error, explanation=no_fprobes()) from error


def _not_configured() -> Explanation | None:
    unset = why_unset("CONFIG_FPROBE")
    if not unset:
        return None
    return Explanation(
        f"this kernel has no multi kprobes: {unset}",
        "use a kernel with CONFIG_FPROBE=y; or one kprobe for each function",
    )


def no_fprobes() -> Explanation:
    """Why there are no kprobes by the many."""
    return _not_configured() or Explanation(
        "the kernel has no multi kprobes, or not for a program with this attach type",
        "multi kprobes came with Linux 5.18, sessions with 6.12; the section says which it is loaded for",
    )


def _cause(number: int, functions: Sequence[str] | None) -> Explanation | None:
    if number == errno.EOPNOTSUPP or (number == errno.EINVAL and functions is not None):
        return no_fprobes()
    if number == errno.E2BIG:
        return Explanation("these are too many functions for one link", "use a narrower pattern, or several links")
    if number not in (errno.ESRCH, errno.ENOENT, errno.EINVAL):
        return None
    if functions is None:
        return Explanation(
            "one of the addresses is not the start of a function that the kernel can trace",
            "available_filter_functions_addrs, of the tracing files, lists them",
        )
    known = symbols()
    missing = next((name for name in functions if known and name not in known), None)
    if missing is not None:
        return explain_missing_function(missing)
    several = f"'{functions[0]}'" if len(functions) == 1 else f"one of {', '.join(functions)}"
    return Explanation(
        f"{several} cannot be traced: it is marked notrace, or not compiled with a place for it",
        "available_filter_functions, of the tracing files, lists those that can be",
    )
