"""Many uprobes of one file as one link: by a pattern, by names or by offsets, each with a cookie of its own.

Needs Linux 6.6 (sessions: 6.13), and a program that was loaded for it (section `uprobe.multi`, `uretprobe.multi`
or `uprobe.session`). Source: libbpf 1.8.
"""

from __future__ import annotations

import array
import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError
from bpfas.loader.attach.binary import open_binary
from bpfas.loader.attach.binary_functions import function_offset, matching_offsets
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.link import create_link
from bpfas.loader.attach.pointers import word_pointer
from bpfas.loader.attach.section_target import is_return, malformed, section_target
from bpfas.loader.attach.uprobe import binary_error, split_path
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_FORM = "PATH:PATTERN"
_RETURN = 1
"""BPF_F_UPROBE_MULTI_RETURN"""


class UserPlaces(NamedTuple):
    """Instructions of one file, by their offsets; `semaphores` and `cookies` are as many, or none."""

    path: str
    offsets: Sequence[int]
    semaphores: Sequence[int] = ()
    cookies: Sequence[int] = ()


def attach_uprobe_multi(
    program: Attachable,
    *,
    path: str | os.PathLike[str] | None = None,
    pattern: str | None = None,
    functions: Sequence[str] | None = None,
    offsets: Sequence[int] | None = None,
    pid: int | None = None,
    cookies: Sequence[int] | None = None,
    semaphores: Sequence[int] | None = None,
    retprobe: bool | None = None,
) -> Link:
    """Attach a program to many functions of a file: those that match `pattern` (`*` and `?`), or that are given.

    Without `path`, to those of the section (`uprobe.multi/libc.so.6:mem*`). `offsets` count from the file's start;
    `cookies` and `semaphores` are as many as the functions or offsets. `path`, `pid` and `retprobe` are as for one
    uprobe. Raises AttachError.
    """
    if sum(each is not None for each in (pattern, functions, offsets)) > 1:
        raise TypeError("attach() takes one of pattern, functions and offsets")
    if path is None:
        text = section_target(program, _FORM)
        parts = split_path(text)
        if parts is None:
            raise malformed(program, text, _FORM)
        file, pattern = parts
    else:
        file = os.fspath(path)
    returns = is_return(program) if retprobe is None else retprobe
    what = pattern or ", ".join(functions or map(hex, offsets or ()))
    target = f"{_kind(program, returns)} {file}:{what}"
    try:
        with open_binary(file) as binary:
            if pattern is not None:
                offsets = list(matching_offsets(binary, pattern))
            elif functions is not None:
                offsets = [function_offset(binary, name) for name in functions]
            else:
                offsets = [binary.start + offset for offset in offsets or ()]
            file = binary.path
    except BpfasError as error:
        raise binary_error(program, target, error) from error
    places = UserPlaces(file, offsets, semaphores or (), cookies or ())
    for name, values in (("cookies", cookies), ("semaphores", semaphores)):
        if values is not None and len(values) != len(offsets):
            cause = f"there are {len(values)} {name} for {len(offsets)} functions"
            remedy = "give one for each, in the same order"
            raise attach_error(program, target, errno.EINVAL, explanation=Explanation(cause, remedy))
    return attach_at_all(program, target, places, pid, is_return=returns)


def attach_at_all(
    program: Attachable,
    target: str,
    places: UserPlaces,
    pid: int | None,
    *,
    is_return: bool,
) -> Link:
    """Attach the program to all these instructions by one link. Raises AttachError."""
    is_session = program.spec.expected_attach_type == AttachType.TRACE_UPROBE_SESSION
    name = ctypes.create_string_buffer(os.fsencode(places.path))
    arrays = [array.array("Q", values) for values in (places.offsets, places.semaphores, places.cookies)]
    options = struct.pack(
        "=4QIII",
        ctypes.addressof(name),
        *map(word_pointer, arrays),
        len(places.offsets),
        _RETURN if is_return and not is_session else 0,
        os.getpid() if pid == 0 else pid or 0,
    )

    def cause(number: int) -> Explanation | None:
        return _cause(number, places, pid)

    return create_link(program, target, 0, program.spec.expected_attach_type, 0, options, cause)


def _kind(program: Attachable, returns: bool) -> str:
    if program.spec.expected_attach_type == AttachType.TRACE_UPROBE_SESSION:
        return "uprobe.session"
    return "uretprobe.multi" if returns else "uprobe.multi"


def _cause(number: int, places: UserPlaces, pid: int | None) -> Explanation | None:
    if number == errno.ESRCH:
        return Explanation(f"there is no process {pid}", "check the pid")
    if number == errno.EBADF:
        return Explanation(
            f"{places.path} is no file that can be probed", "give the path of an ELF file on a disk"
        )
    if number == errno.ENOENT:
        return Explanation(f"there is no file {places.path}", "check the path, also from inside a container")
    if number == errno.E2BIG:
        return Explanation("these are too many functions for one link", "use a narrower pattern, or several links")
    if number in (errno.EINVAL, errno.EIO, errno.ENOEXEC):
        return Explanation(
            f"the kernel cannot probe one of these places of {places.path}, or it has no multi uprobes",
            "multi uprobes came with Linux 6.6, sessions with 6.13; offsets must be those of instructions",
        )
    return None
