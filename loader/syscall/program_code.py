"""A loaded program's instructions, as the verifier and the JIT left them, with the records of functions and lines.

Source: what BPF_OBJ_GET_INFO_BY_FD takes and gives, struct bpf_prog_info of include/uapi/linux/bpf.h: counts are
asked for first, then buffers of that size are filled.
"""

from __future__ import annotations

import ctypes
from array import array
from typing import Any, NamedTuple

from bpfas.loader.syscall.objects import get_info
from bpfas.loader.syscall.programs import RawProgramInfo

_U32_BYTES, _U64_BYTES = 4, 8


class ProgramCode(NamedTuple):
    """Of a program: its instructions and machine code, and where which function and line begins.

    `func_info` has two words for each function (slot, id of the FUNC), `line_info` four for each line (slot, file
    name, text, line << 10 | column), of the program's BTF. Of the machine code, `functions` are the addresses of
    the functions that lie in it one behind the other, `lengths` their bytes, and `lines` the addresses that the
    records of `line_info` are about. What the caller may not know is empty.
    """

    xlated: bytes
    jited: bytes
    func_info: array[int]
    line_info: array[int]
    functions: array[int]
    lengths: array[int]
    lines: array[int]


def prog_code(prog_fd: int) -> ProgramCode:
    """BPF_OBJ_GET_INFO_BY_FD of a program, for all that it has of code."""
    sized: Any = get_info(prog_fd, RawProgramInfo())
    counts = {
        "xlated_prog_insns": ("xlated_prog_len", sized.xlated_prog_len, 1),
        "jited_prog_insns": ("jited_prog_len", sized.jited_prog_len, 1),
        "func_info": ("nr_func_info", sized.nr_func_info, sized.func_info_rec_size),
        "line_info": ("nr_line_info", sized.nr_line_info, sized.line_info_rec_size),
        "jited_ksyms": ("nr_jited_ksyms", sized.nr_jited_ksyms, _U64_BYTES),
        "jited_func_lens": ("nr_jited_func_lens", sized.nr_jited_func_lens, _U32_BYTES),
        "jited_line_info": ("nr_jited_line_info", sized.nr_jited_line_info, sized.jited_line_info_rec_size),
    }
    asked = RawProgramInfo()
    buffers = {}
    for name, (counter, count, size) in counts.items():
        if count:
            buffers[name] = ctypes.create_string_buffer(count * size)
            setattr(asked, counter, count)
            setattr(asked, name, ctypes.addressof(buffers[name]))
    for name in ("func_info_rec_size", "line_info_rec_size", "jited_line_info_rec_size"):
        setattr(asked, name, getattr(sized, name))
    info: Any = get_info(prog_fd, asked)

    def given(name: str) -> bytes:
        """What the kernel has put into a buffer; it takes the pointer away where it does not tell."""
        return buffers[name].raw if name in buffers and getattr(info, name) else b""

    return ProgramCode(
        given("xlated_prog_insns"),
        given("jited_prog_insns"),
        array("I", given("func_info")),
        array("I", given("line_info")),
        array("Q", given("jited_ksyms")),
        array("I", given("jited_func_lens")),
        array("Q", given("jited_line_info")),
    )
