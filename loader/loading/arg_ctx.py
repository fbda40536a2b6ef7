"""The tag `arg:ctx` for kernels that do not know it: parameters that are contexts are declared as such.

A global function may be called by programs of several types, and says by the tag which of its parameters is the
program's context, whatever type it has. Older kernels tell that by the type's name alone, so that every type of
program gets its own description of the function. Source: libbpf 1.8.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bpfas.btf.edit import BtfEditor
from bpfas.btf.kinds import ENTRY_WORDS, HEADER_WORDS, Kind, Linkage, info_word
from bpfas.btf.reader import read_btf
from bpfas.btf.writer import write_btf
from bpfas.loader.kinds import ProgramType

if TYPE_CHECKING:
    from array import array

    from bpfas.btf.btf import Btf
    from bpfas.loader.spec import Image

ARG_CTX = "arg:ctx"

_P = ProgramType
CONTEXT_TYPES: dict[ProgramType, str] = {
    **dict.fromkeys(
        (
            _P.SOCKET_FILTER,
            _P.SCHED_CLS,
            _P.SCHED_ACT,
            _P.CGROUP_SKB,
            _P.LWT_IN,
            _P.LWT_OUT,
            _P.LWT_XMIT,
            _P.LWT_SEG6LOCAL,
            _P.SK_SKB,
            _P.FLOW_DISSECTOR,
        ),
        "__sk_buff",
    ),
    _P.XDP: "xdp_md",
    _P.CGROUP_SOCK: "bpf_sock",
    _P.CGROUP_SOCK_ADDR: "bpf_sock_addr",
    _P.SOCK_OPS: "bpf_sock_ops",
    _P.SK_MSG: "sk_msg_md",
    _P.PERF_EVENT: "bpf_perf_event_data",
    _P.KPROBE: "bpf_user_pt_regs_t",
    _P.RAW_TRACEPOINT: "bpf_raw_tracepoint_args",
    _P.RAW_TRACEPOINT_WRITABLE: "bpf_raw_tracepoint_args",
    _P.CGROUP_SYSCTL: "bpf_sysctl",
    _P.CGROUP_SOCKOPT: "bpf_sockopt",
    _P.CGROUP_DEVICE: "bpf_cgroup_dev_ctx",
    _P.SK_LOOKUP: "bpf_sk_lookup",
    _P.SK_REUSEPORT: "sk_reuseport_md",
    _P.NETFILTER: "bpf_nf_ctx",
}
"""The type that a program's context is a pointer to, by the program's type; others have no name for it."""

_REGISTERS = {"aarch64": "user_pt_regs", "loongarch64": "user_pt_regs"} | dict.fromkeys(
    ("riscv64", "s390x"), "user_regs_struct"
)
"""What bpf_user_pt_regs_t is; struct pt_regs on other machines."""


def has_tagged_contexts(image: Image) -> bool:
    """Whether there may be parameters with the tag; else `with_context_types` need not look."""
    return image.kernel_btf is not None and f"{ARG_CTX}\0".encode() in image.kernel_btf


def with_context_types(image: Image) -> Image:
    """`image`, in which every parameter with the tag `arg:ctx` is a pointer to the program's context by name.

    The functions that this is about are described anew for each program that has them; all ids stay.
    """
    if image.kernel_btf is None:
        return image
    types = read_btf(image.kernel_btf, image.byte_order, image.name)
    tagged = _tagged_parameters(types)
    if not tagged:
        return image
    describer = _Describer(types, tagged)
    programs = {
        name: program._replace(func_info=describer.described(program.func_info, program.program_type))
        for name, program in image.programs.items()
    }
    changed = describer.editor.finish()
    return image.with_parts(programs=programs, kernel_btf=write_btf(changed.words, changed.strings, changed.order))


def _tagged_parameters(types: Btf) -> dict[int, list[int]]:
    """Of global FUNCs, the numbers of the parameters that have the tag and are pointers."""
    tagged: dict[int, list[int]] = {}
    for tag in types.ids_of_kind(Kind.DECL_TAG):
        function = types.size_or_type(tag)
        if types.name(tag) != ARG_CTX or types.kind(function) is not Kind.FUNC:
            continue
        parameters = types.parameters(types.size_or_type(function))
        number = types.component(tag)
        if types.linkage(function) is Linkage.GLOBAL and 0 <= number < len(parameters):
            parameter = types.without_qualifiers(parameters[number].type_id)
            if types.kind(parameter) is Kind.PTR:
                tagged.setdefault(function, []).append(number)
    return tagged


class _Describer:
    """Functions described for programs of several types, each once."""

    def __init__(self, types: Btf, tagged: dict[int, list[int]]) -> None:
        self.types = types
        self.editor = BtfEditor(types)
        self._tagged = tagged
        self._contexts: dict[str, int] = {}
        self._functions: dict[tuple[int, str], int] = {}

    def described(self, func_info: array[int], program_type: ProgramType) -> array[int]:
        """`func_info` of a program, with the functions as programs of this type call them."""
        context = CONTEXT_TYPES.get(program_type)
        if context is None or self._tagged.keys().isdisjoint(func_info[1::2]):
            return func_info
        changed = func_info[:]
        for index in range(1, len(changed), 2):
            if changed[index] in self._tagged:
                changed[index] = self._function(changed[index], context)
        return changed

    def _function(self, function: int, context: str) -> int:
        """The FUNC like `function` whose tagged parameters are pointers to `context`."""
        if (function, context) not in self._functions:
            types = self.types
            prototype = types.size_or_type(function)
            words = types.words[types.starts[prototype] : types.starts[prototype + 1]]
            for number in self._tagged[function]:
                at = HEADER_WORDS + ENTRY_WORDS[Kind.FUNC_PROTO] * number
                words[at + 1] = self._context(context)
            clone = self.editor.add(words)
            name = types.words[types.starts[function]]
            self._functions[function, context] = self.editor.add(
                (name, info_word(Kind.FUNC, Linkage.GLOBAL), clone)
            )
        return self._functions[function, context]

    def _context(self, name: str) -> int:
        """A pointer to the struct, or typedef, of this name, whose members nobody looks at."""
        if name not in self._contexts:
            editor = self.editor
            if name == CONTEXT_TYPES[ProgramType.KPROBE]:
                registers = editor.string(_REGISTERS.get(os.uname().machine, "pt_regs"))
                struct = editor.add((registers, info_word(Kind.STRUCT), 0))
                target = editor.add((editor.string(name), info_word(Kind.TYPEDEF), struct))
            else:
                target = editor.add((editor.string(name), info_word(Kind.STRUCT), 0))
            self._contexts[name] = editor.add_pointer(target)
        return self._contexts[name]
