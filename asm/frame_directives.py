"""Directives for call frames, `.cfi_…`, with the operands that LLVM takes; GNU as has none for BPF.

Registers are given by their number in DWARF.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bpfas.asm import call_frame
from bpfas.asm.assembly import Assembly, StatementError, need_arguments
from bpfas.asm.call_frame import CallFrame, CallFrameError, EncodedPointer, FrameAttributes
from bpfas.asm.debug import DEBUG_FRAME, EH_FRAME
from bpfas.asm.symbol import here

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.asm.data_directives import Handler
    from bpfas.asm.statement import Argument, Directive, Statement


def _sections(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    names = [assembly.name(argument, statement) for argument in directive.arguments]
    for name, argument in zip(names, directive.arguments, strict=True):
        if name not in (DEBUG_FRAME, EH_FRAME):
            raise StatementError(f"`{name}` is neither {DEBUG_FRAME} nor {EH_FRAME}", argument)
    assembly.debug.frame_sections = tuple(name for name in (EH_FRAME, DEBUG_FRAME) if name in names)


def _startproc(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    debug = assembly.debug
    words = [assembly.name(argument, statement) for argument in directive.arguments]
    if words not in ([], ["simple"]):
        raise StatementError(".cfi_startproc can only have the argument `simple`", directive.arguments[0])
    if debug.open_frame is not None:
        notes = (f"that began at {debug.open_frame.statement.span.place}",)
        raise StatementError(".cfi_startproc before the .cfi_endproc of the last one", notes=notes)
    attributes = FrameAttributes(is_simple=bool(words))
    debug.open_frame = CallFrame(here(assembly.subsection), statement, attributes)


def _open_frame(assembly: Assembly, directive: Directive) -> CallFrame:
    """The frame that a directive within a function is for. Raises StatementError."""
    frame = assembly.debug.open_frame
    if frame is None:
        raise StatementError(f"{directive.name} without a .cfi_startproc")
    start = frame.start.section
    assert start is not None
    if start is not assembly.section:
        raise StatementError(f".cfi_startproc was in section `{start.name}`, not in `{assembly.section.name}`")
    subsection = frame.start.subsection
    if subsection is not None and subsection.number > assembly.subsection.number:
        number, current = subsection.number, assembly.subsection.number
        raise StatementError(f".cfi_startproc was in subsection {number}, which lies behind {current}")
    return frame


def _endproc(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 0, 0)
    debug = assembly.debug
    try:
        frame = _open_frame(assembly, directive)
        frame.end = here(assembly.subsection)
        debug.frames.append(frame)
    finally:
        debug.open_frame = None


def _number(argument: Argument, assembly: Assembly, statement: Statement, what: str, most: int) -> int:
    """A number from 0 to `most`. Raises StatementError."""
    number = assembly.number(argument, statement, what)
    if not 0 <= number <= most:
        raise StatementError(f"{what} is {number}, not one of 0 to {most}", argument)
    return number


_LAST_REGISTER = (1 << 31) - 1
_LAST_RETURN_COLUMN = 255
"""In version 1 of the common information entry, which .eh_frame has, the return column is a byte."""


def _instruction(
    encode: Callable[..., bytes], operands: str, assembly: Assembly, directive: Directive, statement: Statement
) -> None:
    """Say something of the frame by `encode`; `operands` has an `r` for a register and an `o` for an offset."""
    need_arguments(directive, len(operands), len(operands))
    frame = _open_frame(assembly, directive)
    numbers: list[int] = []
    for letter, argument in zip(operands, directive.arguments, strict=True):
        if letter == "r":
            numbers.append(_number(argument, assembly, statement, "the register", _LAST_REGISTER))
        else:
            numbers.append(assembly.number(argument, statement, "the offset"))
    try:
        data = encode(frame, *numbers)
    except CallFrameError as error:
        raise StatementError(str(error), directive.arguments[-1] if operands else None) from error
    frame.instructions.append((here(assembly.subsection), data, statement))


def _escape(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1)
    frame = _open_frame(assembly, directive)
    data = bytes(_number(argument, assembly, statement, "the byte", 255) for argument in directive.arguments)
    frame.instructions.append((here(assembly.subsection), data, statement))


def _signal_frame(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 0, 0)
    _open_frame(assembly, directive).attributes.is_signal_frame = True


def _return_column(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    need_arguments(directive, 1, 1)
    frame = _open_frame(assembly, directive)
    column = _number(directive.arguments[0], assembly, statement, "the return column", _LAST_RETURN_COLUMN)
    frame.attributes.return_column = column


_POINTER_WIDTHS = {0x00: 8, 0x02: 2, 0x03: 4, 0x04: 8, 0x08: 8, 0x0A: 2, 0x0B: 4, 0x0C: 8}
"""Bytes of a pointer by the low four bits of its encoding (Linux Standard Base 5, §10.5.1)."""

_DW_EH_PE_INDIRECT = 0x80
_DW_EH_PE_OMIT = 0xFF


def _personality(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    attributes = _open_frame(assembly, directive).attributes
    attributes.personality = _pointer(assembly, directive, statement) or attributes.personality


def _lsda(assembly: Assembly, directive: Directive, statement: Statement) -> None:
    attributes = _open_frame(assembly, directive).attributes
    attributes.lsda = _pointer(assembly, directive, statement) or attributes.lsda


def _pointer(assembly: Assembly, directive: Directive, statement: Statement) -> EncodedPointer | None:
    """An encoding and a symbol; None where the encoding says that there is no pointer. Raises StatementError."""
    need_arguments(directive, 1, 2)
    first = directive.arguments[0]
    encoding = _number(first, assembly, statement, "the encoding", 255)
    if encoding == _DW_EH_PE_OMIT:
        need_arguments(directive, 1, 1)
        return None
    width = _POINTER_WIDTHS.get(encoding & ~_DW_EH_PE_INDIRECT)
    if width is None:
        raise StatementError(
            f"no BPF relocation can make the encoding {encoding:#x}; 0 is an address of 64 bits, 3 of 32",
            first,
        )
    need_arguments(directive, 2, 2)
    named = directive.arguments[1]
    return EncodedPointer(encoding, width, assembly.symbol(named, statement), statement, named)


_INSTRUCTIONS: dict[str, tuple[Callable[..., bytes], str]] = {
    ".cfi_def_cfa": (call_frame.def_cfa, "ro"),
    ".cfi_def_cfa_offset": (call_frame.def_cfa_offset, "o"),
    ".cfi_def_cfa_register": (call_frame.def_cfa_register, "r"),
    ".cfi_adjust_cfa_offset": (call_frame.adjust_cfa_offset, "o"),
    ".cfi_offset": (call_frame.offset, "ro"),
    ".cfi_rel_offset": (call_frame.rel_offset, "ro"),
    ".cfi_val_offset": (call_frame.val_offset, "ro"),
    ".cfi_register": (call_frame.register, "rr"),
    ".cfi_restore": (call_frame.restore, "r"),
    ".cfi_undefined": (call_frame.undefined, "r"),
    ".cfi_same_value": (call_frame.same_value, "r"),
    ".cfi_remember_state": (call_frame.remember_state, ""),
    ".cfi_restore_state": (call_frame.restore_state, ""),
}
"""What each directive says of the frame where it stands, and its operands."""

FRAME_DIRECTIVES: dict[str, Handler] = {
    ".cfi_sections": _sections,
    ".cfi_startproc": _startproc,
    ".cfi_endproc": _endproc,
    **{name: partial(_instruction, encode, operands) for name, (encode, operands) in _INSTRUCTIONS.items()},
    ".cfi_escape": _escape,
    ".cfi_signal_frame": _signal_frame,
    ".cfi_return_column": _return_column,
    ".cfi_personality": _personality,
    ".cfi_lsda": _lsda,
}
