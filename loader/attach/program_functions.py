"""The functions of a loaded program, by name: their ids in the BTF that it was loaded with."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.btf.kinds import Kind
from bpfas.btf.reader import read_btf
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import syscall
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.kernel_functions import nearest_of
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.protocols import Attachable


def function_type_id(program: Attachable, target: str, target_fd: int, name: str) -> int:
    """The id of the FUNC `name` in the BTF of the program behind `target_fd`, to which `program` is attached.

    Raises AttachError.
    """
    try:
        data = syscall.prog_btf(target_fd)
    except OSError as error:
        raise attach_error(program, target, error) from error
    if not data:
        explanation = Explanation(
            "the program with that function was loaded without BTF", "compile it with -g, and load it anew"
        )
        raise attach_error(program, target, errno.EINVAL, explanation=explanation)
    types = read_btf(data, HOST_ORDER, target)
    functions = {types.name(type_id): type_id for type_id in types.ids_of_kind(Kind.FUNC)}
    if name not in functions:
        similar = nearest_of(name, functions)
        explanation = Explanation(f"it has no function '{name}'", similar or f"it has {', '.join(functions)}")
        raise attach_error(program, target, errno.ENOENT, explanation=explanation)
    return functions[name]
