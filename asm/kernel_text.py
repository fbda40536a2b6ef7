"""Instructions as the kernel's verifier log and `bpftool prog dump xlated` print them: what stands around
them, and what in them no instruction can be made of.

Both print an index and the opcode before the pseudo-C, the log the registers' state behind it:
`12: (bf) r6 = r1    ; R1=ctx() R6=ctx()`. The log's list of live registers has these between index and opcode. The
grammar knows this prefix too; the spellings of the instructions themselves are rows' texts in `bpfas.isa`. Source:
kernel/bpf/disasm.c, kernel/bpf/log.c, tools/bpf/bpftool/xlated_dumper.c.
"""

from __future__ import annotations

import re

PREFIX = r"[0-9]+: +(?:[0.][1.][2.][3.][4.][5.][6.][7.][8.][9.] +)?\([0-9a-f]{2}\)"
"""A regular expression of what stands before an instruction, up to its opcode."""

OPCODE_LENGTH = len("(b7)")

_PREFIX = re.compile(PREFIX)


class NotAssembledError(ValueError):
    """A text of the kernel's that does not say which instruction it was."""


def prefix_end(text: str) -> int:
    """Where the prefix of a statement ends; 0 where it has none."""
    if not text[:1].isdigit():
        return 0
    match = _PREFIX.match(text)
    return match.end() if match else 0


def prefix_opcode(prefix: str) -> int:
    """The opcode at the end of a prefix."""
    return int(prefix[1 - OPCODE_LENGTH : -1], 16)


_MAP = (
    "this is a map of the running kernel, which a source cannot name: define the map and write "
    "`rN = %map(name) ll`, or `rN = variable ll` for a place in .data, .rodata or .bss"
)
_FUNCTION = "this is a function of the loaded program: put a label before it and write `rN = label ll`"
_BARRIER = "`nospec` is a barrier that the kernel puts in by itself: leave the line out"
_OWN = "this instruction is the kernel's own, put in place of a call: write the call"
_OLD_BPFTOOL = "a bpftool that does not know this instruction printed it: use a newer one, or the verifier's log"
_KERNEL_FUNCTION = (
    "its number is the kernel function's BTF id in the verifier's log, for which write `call_kfunc id, index`, "
    "but in bpftool's text an address"
)

_NOT_ASSEMBLED = (
    (r"map\[idx?:[0-9]+\](?:\[0\])?(?:\+[0-9]+)?", _MAP),
    (r"subprog\[[-+]?[0-9]+\]", _FUNCTION),
    (r"(?<=\) )nospec$|^nospec$", _BARRIER),
    (r"&\(void __percpu \*\)\(r[0-9]+\)", _OWN),
    (r"\bBUG_(?:(?:alu64|ldx?|st)_)?[0-9a-f]{2}$", _OLD_BPFTOOL),
    (r"(?<=\(06\) )if w[0-9]+ jmp ", _OLD_BPFTOOL),
    (r"kernel-function#[-0-9]+", f"the kernel did not name the function that is called; {_KERNEL_FUNCTION}"),
)


def why_not_assembled(text: str) -> tuple[str, int, int] | None:
    """Why a text of the kernel's that is no statement is none, with the place and length of what makes it so."""
    for pattern, why in _NOT_ASSEMBLED:
        if match := re.search(pattern, text, re.IGNORECASE):
            return why, match.start(), match.end() - match.start()
    return None


def helper_number(name: str, number: int) -> int:
    """The number of the helper in `call name#number`.

    The verifier prints a helper's name and number. bpftool prints the name of the function that the kernel calls,
    which is mostly the helper's, and for the number where that function lies. Raises NotAssembledError where the
    two do not tell a helper.
    """
    from bpfas.helpers import HELPERS, HELPERS_BY_NUMBER  # a long table, and few sources are the kernel's texts

    helper = HELPERS.get(name)
    if helper is not None:
        other = HELPERS_BY_NUMBER.get(number, helper)
        if other is not helper:
            raise NotAssembledError(f"`{name}` is helper {helper.number}; {number} is `{other.name}`")
        return helper.number
    if name == "unknown":
        raise NotAssembledError("the kernel did not name the function that is called: write `call` and its name")
    if name[0].isdigit():
        raise NotAssembledError(
            "this is the address of a function in the kernel that printed it: write `call` and the helper's name"
        )
    raise NotAssembledError(
        f"`{name}` is no helper. If it is the kernel's own function in place of a helper's, write `call` and the "
        f"helper's name. If it is a kernel function for programs (kfunc), {_KERNEL_FUNCTION}"
    )


_LOAD = r"(?i)[0-9]+: +(?P<live>[0-9.]{10} +)?\(18\) +r(?P<register>[0-9]+) = (?P<number>0x[0-9a-f]+)\s*$"
_NUMBER_STATE = r"P?(?:inv)?P?(?:-?[0-9]|scalar|\(|$)"
_ADDRESSES = range(0xFFFF_0000_0000_0000, 0xFFFF_FFFF_FF00_0000)
"""What a 64-bit kernel's addresses are, but for numbers that are negative and small."""
_PLACES_IN_PROGRAM = range(1 << 31)


def doubtful_load(line: str, state: str) -> tuple[str, int, int] | None:
    """Why the 64-bit immediate load in `line`, from its prefix on, may not load the number that is printed.

    For a map or a function the kernel prints what it has put into the instruction: an address, or how far away the
    function is. `state` is what the log says behind the instruction; where it is silent, the number must do.
    """
    load = re.search(_LOAD, line)
    if load is None:
        return None
    register, text, number = load["register"], load["number"], int(load["number"], 16)
    remedy = f"write `r{register} = %map(name) ll` for a map, `r{register} = name ll` for a variable or a function"
    if held := re.search(rf"\bR{register}(?:_[a-z]+)?=(\S*)", state):
        if re.match(_NUMBER_STATE, held[1]):
            return None
        why = f"{text} stands for what the kernel calls {held[1].partition('(')[0]}: {remedy}"
    elif number in _ADDRESSES or (load["live"] and number in _PLACES_IN_PROGRAM):
        why = f"{text} may be a number or a place in the kernel: {remedy}, `r{register} = {text} ll` for a number"
    else:
        return None
    return why, load.start("number"), len(text)
