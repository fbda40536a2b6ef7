"""What is to be done about some of the verifier's words."""

from __future__ import annotations

import re

from bpfas.helpers import HELPERS_BY_NUMBER, LATEST_RELEASE
from bpfas.loader.privilege import Capability, Situation

_GPL_REMEDY = (
    'give the object a section `license` that says GPL: in C char _license[] SEC("license") = "GPL"; '
    'in assembly .section license,"aw",@progbits; .asciz "GPL"'
)
_REMEDIES = (
    ("cannot call GPL-restricted function from non-GPL compatible program", _GPL_REMEDY),
    ("cannot call kernel function from non-GPL compatible program", _GPL_REMEDY),
    (
        "slot poisoned by dead code elimination",
        "Linux 7.3 misjudges what bpf_map_peek_elem() of a bloom filter reads: give it a global variable",
    ),
    (
        "calling kernel function",
        "programs may call only some of the kernel's functions (kfuncs), and each only from some types of program",
    ),
    (
        "failed to find the address for kernel symbol",
        "the kernel's list of symbols lacks it: kernels without CONFIG_KALLSYMS_ALL do not list variables",
    ),
    (
        "doesn't match map's excl_prog_hash",
        "a map that it uses is for another program alone: let only that use it, or leave exclusive_program empty",
    ),
    ("missing btf func_info", "callbacks need the types of functions: compile with clang -g"),
    ("callback function not static", "declare the function that is given to the helper as static"),
    ("JIT is required for calling kernel function", "switch the JIT on: sysctl net.core.bpf_jit_enable=1"),
)
"""What is to be done about texts that may stand anywhere in the log."""

_VERDICTS = (
    (
        r"invalid mem access '\w*_or_null_?'",
        "compare the pointer with NULL before: if (!value) return 0;",
    ),
    (r"pointer arithmetic on \w*_or_null_?\b", "compare the pointer with NULL before it is used"),
    (
        r"invalid access to packet|outside of the packet",
        "compare with the packet's end before: if (data + sizeof(*header) > data_end) return 0;",
    ),
    (
        r"invalid access to (?:map value|memory)|(?:min|max) value is (?:negative|outside)|unbounded m\w+",
        "bound the index or length before it is used: if (index >= SIZE) return 0; let its type be unsigned",
    ),
    (
        r"invalid mem access '(?:scalar|inv)'",
        (
            "the verifier knows of no memory at this number: what is the kernel's is read by BPF_CORE_READ() or "
            "bpf_probe_read_kernel(), the user's by bpf_probe_read_user()"
        ),
    ),
    (
        r"type=(?:scalar|inv) expected=",
        "this argument is a pointer: give the address of a variable, as &key",
    ),
    (
        r"invalid zero-sized read",
        "bound the length from below as well: if (length == 0 || length > sizeof(buffer)) return 0;",
    ),
    (
        r"invalid bpf_context access",
        (
            "the context of programs of this type has no field at this offset of this size, or none that they may "
            "write: see its struct in <linux/bpf.h>"
        ),
    ),
    (
        r"bpf_(\w+?)_lock-ed region|bpf_(?:preempt_disable|local_irq_save)-ed region",
        "release on every way what was taken: bpf_spin_unlock(), bpf_rcu_read_unlock(), bpf_preempt_enable(), …",
    ),
    (
        r"At (?:program|async callback|callback) \w+ the register R0 has",
        "return a value of the range that it names, on every way: programs of this type may return no other",
    ),
    (
        r"unknown opcode 8d",
        "compile with -O2: without optimisation functions are called by pointers, which kernels do not take",
    ),
    (r"expected prog array map", "tail calls take a map of type BPF_MAP_TYPE_PROG_ARRAY"),
    (r"R0 !read_ok", "give R0, the return value, a value on every way to the end"),
    (r"R\d+ !read_ok", "give the register a value on every way there; calls leave none in R1 to R5"),
    (
        r"Unreleased reference|reference leak",
        "release on every way what was acquired: bpf_sk_release(), bpf_ringbuf_submit(), …",
    ),
    (
        r"infinite loop detected|back-edge from insn",
        "let the verifier see the loop's end: a counter with a constant bound, bpf_for(), bpf_loop()",
    ),
    (
        r"BPF program is too large|jumps is too complex",
        "split it: bpf_for() or bpf_loop(), global functions (each is verified once), or tail calls",
    ),
    (
        r"combined stack size",
        "keep less on the stack, which has 512 bytes for all functions of a call chain: use a per-CPU array",
    ),
    (
        r"invalid (?:indirect )?(?:read|access) (?:from|to) stack",
        "set all bytes before they are read or given to a helper, padding as well: struct key key = {};",
    ),
    (
        r"write into map forbidden|cannot write into",
        "what the program writes to is read-only: a constant, or a map that programs may not write",
    ),
)
"""What is to be done about verdicts, by their pattern."""

NO_SUCH_HELPER = re.compile(r"invalid func (?:\w+#)?(-?\d+)")
"""The verdict on a call of a number that no helper of the kernel has."""

_HELPER_REFUSED = re.compile(r"(?:unknown func|program of this type cannot use helper) (?:\w+#)?(\d+)")
"""Of a helper that the kernel has. The words changed with Linux 6.10; 4.9 gave numbers without names."""


def _helper_remedy(words: str, situation: Situation) -> str:
    """What is to be done about words that refuse the call of a helper; empty if they are about something else."""
    match = NO_SUCH_HELPER.fullmatch(words) or _HELPER_REFUSED.fullmatch(words)
    if not match:
        return ""
    helper = HELPERS_BY_NUMBER.get(int(match[1]))
    if not helper:
        return (
            f"no helper up to Linux {LATEST_RELEASE} has the number {match[1]}; `call` takes helpers by name, too"
        )
    if match.re is NO_SUCH_HELPER:
        return f"{helper.name} came with Linux {helper.since}: use such a kernel, or do without it"
    lacking = [name.name for name in (Capability.CAP_BPF, Capability.CAP_PERFMON) if situation.lacks(name)]
    return (
        f"{helper.name} came with Linux {helper.since}, but this kernel, with its configuration, does not let "
        "programs of this type call it: use another type or helper, or a newer kernel"
        + (f"; or run it with {' and '.join(lacking)}, which some helpers ask for" if lacking else "")
    )


def remedy_for(verdict: str, words: str, situation: Situation, suggestion: str = "") -> str:
    """A sentence; `words` are all lines of what the verifier said in the end, `verdict` is the last of them.

    `suggestion`, what the kernel itself advises, is taken where no remedy is known.
    """
    for known, remedy in _REMEDIES:
        if known in words:
            return remedy
    if remedy := _helper_remedy(verdict, situation):
        return remedy
    for pattern, remedy in _VERDICTS:
        if re.search(pattern, verdict):
            return remedy
    remedy = suggestion.rstrip(".") or (
        "the log tells the path to the instruction at fault and the registers' contents there"
    )
    if situation.lacks(Capability.CAP_PERFMON):
        return f"{remedy}; the process lacks CAP_PERFMON, with which the verifier permits more pointer arithmetic"
    return remedy
