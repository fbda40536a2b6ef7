"""A Script to the instructions and the data of a loader program.

This module has the frame and the smaller steps; calls are `bpfas.loader.gen.emission.calls`, look-ups
`bpfas.loader.gen.emission.lookups`. All instructions are gone through, whatever fails: behind a failure the kernel
is asked for nothing more, at the end the first that has failed is told, and what was made is closed. Source: the
helpers' documentation in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bpfas.helpers import HELPERS
from bpfas.loader.gen.emission.calls import emit_call, known_attributes
from bpfas.loader.gen.emission.data import DESCRIPTOR_SIZE, NUMBER_SIZE, OUTCOME_SIZE, DataLayout
from bpfas.loader.gen.emission.data_code import CONTEXT, FAILED, GIVEN, RESULT, DataCode
from bpfas.loader.gen.emission.lookups import emit_find, emit_patch_calls, emit_patch_loads, emit_require
from bpfas.loader.gen.loader_program import CALLER_IS_KERNEL, FLAGS
from bpfas.loader.gen.script import Call, Close, Fill, Find, Need, PatchCall, PatchLoad, Require, UnlessGiven

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.gen.loader_program import Context
    from bpfas.loader.gen.script import Cell, Input, Script, Step

_TRACE_PRINTK, _READ_KERNEL, _COPY_FROM_USER = (
    HELPERS[f"bpf_{name}"].number for name in ("trace_printk", "probe_read_kernel", "copy_from_user")
)


def emit_script(
    script: Script,
    context: Context,
    order: ByteOrder,
    *,
    check: Callable[[bytes], bytes] | None = None,
    words: Callable[[Step], str] | None = None,
) -> tuple[bytes, bytes]:
    """The instructions and the data of a loader program.

    `check` gives instructions that compare the data with what it is now, to stand in front. With `words` each step
    writes what it was and what came of it to the kernel's trace buffer.
    """
    steps = script.numbered_steps()
    fallible = [number for number, step in enumerate(steps, 1) if isinstance(step, _FALLIBLE)]
    data = DataLayout(script.table, _numbers(steps), fallible, order)
    # Instructions refer to attributes most often, so these come before all that is long.
    attributes = {
        number: data.attributes(known_attributes(step, order))
        for number, step in enumerate(steps, 1)
        if isinstance(step, Call)
    }
    made = {step.result: number for number, step in enumerate(steps, 1) if isinstance(step, Call) and step.result}
    code = DataCode(order, data)
    code.begin()
    given = {step.cell: step.given for step in steps if isinstance(step, UnlessGiven) and step.cell}
    for number, (step, conditions) in enumerate(_with_conditions(script.steps), 1):
        if conditions != code.conditions:
            code.unless(*conditions)
        _emit_step(code, number, step, attributes, given)
        if words and isinstance(step, _FALLIBLE):
            _emit_words(code, words(step), number)
    code.unless()
    _finish(code, script, given, made, len(fallible), context)
    content = data.content()
    return (check(content) if check else b"") + code.code(), content


_FALLIBLE = Call | Find | Require | Fill | Need


def _with_conditions(
    steps: Sequence[Step], conditions: tuple[Input, ...] = ()
) -> Iterator[tuple[Step, tuple[Input, ...]]]:
    """The steps as they are numbered, and the numbers of the context of which one stands against each."""
    for step in steps:
        yield step, conditions
        if isinstance(step, UnlessGiven):
            yield from _with_conditions(step.steps, (*conditions, step.given))


def _numbers(steps: Sequence[Step]) -> list[Cell]:
    """The cells of steps that are not in the table of descriptors."""
    return [cell for step in steps if isinstance(step, Find) for cell in (step.type_id, step.address)]


def _finish(
    code: DataCode,
    script: Script,
    given: Mapping[Cell, Input],
    made: Mapping[Cell, int],
    fallible: int,
    context: Context,
) -> None:
    """Give the descriptors back if nothing has failed, else close them and tell what has.

    `made` are the numbers of the steps that make them.
    """
    keep = GIVEN
    code.put("mov_reg", keep, FAILED)
    code.put("arsh_imm", keep, imm=63)
    code.put("xor_imm", keep, imm=-1)
    for cell, offset in script.results:
        code.load_value(1, cell)
        code.put("and_reg", 1, keep)
        if cell in given:
            code.load_value(2, given[cell])
            code.put("or_reg", 1, 2)
        code.store(CONTEXT, offset, 1, DESCRIPTOR_SIZE)
        code.load_data(1, code.data.outcome(made[cell]), NUMBER_SIZE)
        code.put("or_reg", 1, keep)
        code.close_number()
    # The outcomes are in the steps' order, and behind the last is one of no step.
    code.put("add_imm", FAILED, imm=fallible)
    code.put("lsh_imm", FAILED, imm=OUTCOME_SIZE.bit_length() - 1)
    code.load_data_address(1, code.data.outcomes)
    code.put("add_reg", 1, FAILED)
    code.load(2, 1, NUMBER_SIZE, NUMBER_SIZE)
    code.store(CONTEXT, context.failed_step, 2, 4)
    code.load(RESULT, 1, 0, NUMBER_SIZE)
    code.put("exit")


def _emit_step(
    code: DataCode, number: int, step: Step, attributes: Mapping[int, int], given: Mapping[Cell, Input]
) -> None:
    match step:
        case Call():
            emit_call(code, number, step, attributes[number], given.get(step.result) if step.result else None)
        case Find():
            emit_find(code, number, step)
        case Require():
            emit_require(code, number, step)
        case PatchLoad():
            emit_patch_loads(code, step)
        case PatchCall():
            emit_patch_calls(code, step)
        case Fill():
            _emit_fill(code, number, step)
        case Need():
            code.load_value(1, step.given)
            code.ones_if_any(RESULT, 1)
            code.put("xor_imm", RESULT, imm=-1)
            code.put("and_imm", RESULT, imm=-errno.ENODATA)
            code.settle(number)
        case Close():
            code.close(step.cell)
        case UnlessGiven():
            pass  # its steps ask for themselves


def _emit_fill(code: DataCode, number: int, step: Fill) -> None:
    """Contents from the memory of a process, or of the kernel if it is the kernel that runs the program."""
    outcome = code.data.outcome(number)
    for helper, is_of_kernel in ((_READ_KERNEL, True), (_COPY_FROM_USER, False)):
        code.load_value(3, step.given)
        code.ones_if_any(1, 3)
        code.load(4, CONTEXT, FLAGS.offset, FLAGS.size)
        code.put("and_imm", 4, imm=CALLER_IS_KERNEL)
        code.put("neg", 4)
        if not is_of_kernel:
            code.put("xor_imm", 4, imm=-1)
        code.put("and_reg", 4, 1)
        if is_of_kernel:
            code.store_data(outcome, 4, NUMBER_SIZE)
        code.put("mov_imm", 2, imm=len(step.item.data))
        code.put("and_reg", 2, 4)
        code.load_data_address(1, code.data.item(step.item))
        code.put("call", imm=helper)
        code.load_data(1, outcome, NUMBER_SIZE)
        if is_of_kernel:
            # It does not take addresses of processes, even if it is to copy nothing.
            code.put("and_reg", RESULT, 1)
            code.store_data(outcome, RESULT, NUMBER_SIZE)
        else:
            code.put("or_reg", RESULT, 1)
    code.settle(number)


def _emit_words(code: DataCode, words: str, number: int) -> None:
    """A line in the kernel's trace buffer with what a step gave."""
    text = f"{words.replace('%', '%%')}: %d\n".encode(errors="replace") + b"\0"
    code.load_data_address(1, code.data.constant(text))
    code.put("mov_imm", 2, imm=len(text))
    code.load_data(3, code.data.outcome(number), NUMBER_SIZE)
    code.put("call", imm=_TRACE_PRINTK)
