"""Hypothesis strategies for source texts, right and wrong: what the ways to read a source must agree on.

The parts are few and alike, so that lines often have the same outline and mean different things, and the same name
is now a label, now a symbol set to a number, now nothing.
"""

from __future__ import annotations

from hypothesis import strategies as st

from bpfas.isa import Dialect, format_instruction
from tests.strategies import dialects, instructions

NAMES = (
    *("foo", "bar", "u9", "u8", "le7", "le16", "add7", "add32", "mov8", "LBB0_1", "LBB0_2", "LBB1_0", "LBB10_1"),
    *("r12x", "r1x", "w7_", "x0x1", "a0b1", "lock", "exit", "call", "ll", "if", "goto", "pc", "map", "skb", "u64"),
    *(
        "xchg_64",
        "cmpxchg32_32",
        "s8",
        "be",
        "bswap3",
        ".L1",
        ".L2",
        ".Ltmp12",
        ".L0x1f",
        "f1b",
        "_1f",
        "$a",
        "b0",
    ),
    *("bpf_map_lookup_elem", "bpf_l3_csum_replace", "data.1", "EXIT", "Foo", "jeq32", "s7", "fpx", "fp1", "."),
)
"""Names that are alike, that look like registers or numbers, or that the language itself uses."""

NUMBERS = (
    *("0", "1", "2", "8", "16", "32", "64", "7", "9", "255", "256", "32767", "32768", "65535", "65536", "0x10"),
    *("0X1f", "0xffff", "0xffffffff", "4294967296", "2147483648", "0x8000000000000000", "0xffffffffffffffff"),
    *(
        "010",
        "08",
        "00",
        "0b101",
        "0B1",
        "0b12",
        "0x",
        "0xg",
        "12abc",
        "'a'",
        "'a",
        "'\\n'",
        "99999999999999999999",
    ),
    *(
        "4611686018427387903",
        "4611686018427387904",
        "123456789012345678",
        "0x00000000000000001",
        "1b",
        "1f",
        "01f",
    ),
)
"""Numbers in every spelling, at the bounds of fields, and what only begins like one."""

FLOATS = (
    *(
        "1.5",
        ".5",
        "1.",
        "0",
        "1e5",
        "1e-5",
        "2.5E+3",
        "0x1.8p3",
        "0x1p-1",
        "0x1.8",
        "0f1.5",
        "0e1.5",
        "0d-2",
        "0r1",
    ),
    *(
        "0f-1.5",
        "inf",
        "-nan",
        "-1.5",
        "- .5",
        "1.5e",
        "1.5.5",
        "1e",
        ".5e2",
        ".5foo",
        "0x1",
        "0b1",
        "1f",
        "foo",
        "1+1",
    ),
)
"""Floating-point numbers in every spelling, and what only begins like one."""

REGISTERS = (
    "r0",
    "r1",
    "r2",
    "r10",
    "r11",
    "r12",
    "w0",
    "w1",
    "w3",
    "%r1",
    "%r2",
    "%fp",
    "fp",
    "R3",
    "r01",
    "%w1",
)

_TEMPLATES = (
    *("{d} = {i}", "{d} += {i}", "{d} = {d}", "{d} s>>= {i}", "{d} = {i} ll", "{d} = {i}ll", "{d} = {n} ll"),
    *("{d} = le{i} {d}", "{d} = bswap16 {d}", "{d} = (s{i}) {d}", "{d} = -{d}", "{d} = - {i}", "{d} = %map({n})"),
    *("if {d} > {i} goto {t}", "if {d} s<= {d} goto {t}", "goto {t}", "gotol {t}", "may_goto {t}", "call {t}"),
    *("{d} = *(u{i} *)({d} + {i})", "*(u8 *)({d} - {i}) = {d}", "lock *(u64 *)({d} + 8) += {d}", "call {n} + {i}"),
    *("{d} = *(u32 *)skb[{i}]", "{d} = xchg_64({d} + {i}, {d})", "r0 = cmpxchg_64({d}+8, r{i}, {d})"),
    *(
        "store_release((u{i} *)({d} + {i}), {d})",
        "{d} = addr_space_cast({d}, {i}, {i})",
        "ld_pseudo {d}, {i}, {i}",
    ),
    *("mov {d}, {i}", "add32 {d}, {d}", "add{i} {d}, {i}", "jeq {d}, {i}, {t}", "jeq32 {d}, {i}, {t}", "ja {t}"),
    *("jal {t}", "lddw {d}, {n}", "ldimm64 {d}, %map({n})", "ldxw {d}, [{d}+{i}]", "ldxdw {d}, [{d}]", "exit"),
    *("stw [{d}-{i}], {i}", "endle {d}, {i}", "endbe {d}, {i}", "movs {d}, {d}, {i}", "call_kfunc {i}, {i}"),
    *(
        "stxdw [{d}+{n}], {d}",
        "call pc+{i}",
        "callx {d}",
        "mov {d}, {n}",
        "mov {d}, ({i}+{i})*2",
        "EXIT",
        "neg {d}",
    ),
    *(
        ".byte {i}",
        ".4byte {i}",
        ".long {n}",
        ".quad {n}-{n}",
        ".quad {i}, {i}",
        ".zero {i}",
        ".short {i}",
        ".long 1b, 1f",
    ),
    *(
        "1$:",
        "{i}$: exit",
        ".long {i}$ - 1$",
        "goto 1$",
        ".double {f}",
        ".float {f}, {f}",
        ".quad {f}",
        ".byte {i}, {i}, -{i}, {n}",
        "{n}: .byte {i},{i} , {i}",
        ".octa {i}, -{i}",
        '.ascii <{i}>"b"< {i} >',
        ".uleb128 {i}, -{i}",
        '.ascii "a;b#c"',
        '.asciz "x" "y"',
        ".p2align 3",
        ".balign {i}",
        ".set {n}, {i}",
        ".set {n}, {n}",
        "{n} = {i}",
    ),
    *(".globl {n}", ".weak {n}", ".local {n}", ".type {n}, @function", ".size {n}, {i}", ".comm {n}, {i}, 8"),
    *(".text", ".data", ".bss", ".section .rodata", '.section foo,"ax",@progbits', ".previous", ".org {i}"),
    *(
        '.pushsection bar,"aw",@nobits',
        ".popsection",
        ".ident {i}",
        '.file "a.c"',
        ".equiv {n}, {i}",
        ".bogus {i}",
    ),
    *("{n}:", "{n} :", "1:", "{i}:", "1: exit", "{n}: mov r1, {i}", "{n}: .byte {i}", "{n}:{n}: exit"),
    *(
        "{i}: (bf) {d} = {d}",
        "{i}: (07) {d} += {i} ; R1={i}",
        "{i}: (b7) {d} = {i}",
        "{i}: (18) {d} = {i}  ; R1={n}",
    ),
    *(
        "{i}: .1........ (18) {d} = {i}",
        "{i}: (85) call {n}#{i} ; R0",
        "{i}: (85) call pc+{i}#{n}",
        "call {n}#{i}",
    ),
    *(
        "{i}: (15) if {d} == {i} goto pc+{i}",
        "goto pc{t}",
        "if {d} > {d} goto pc+{i}",
        "gotol pc-{i}",
        "{i}: ({i}) exit",
    ),
    *(
        ".eqv {n}, {n}",
        "{n} == {n} + {i}",
        ".eqv {n}, .",
        ".weakref {n}, {n}",
        ".symver {n}, {n}@V{i}",
        ".symver {n}, {n}@@@V{i}",
    ),
    *('"{n}": exit', '"a b{i}":', 'call "{n}"', 'call "a b{i}"', '.quad "{n}"', '{d} = "{n}" ll', '"{n}" = {i}'),
    *(".addrsig", ".addrsig_sym {n}", '.ident "{i}"', '; {i} "f" 1', '.ident "GCC: (GNU) 12.{i}"'),
    *('.section foo,"axG",@progbits,{n},comdat', '.section foo,"ax",@progbits,unique,{i}', '.section o,"ao",,{n}'),
    *("{i}: (db) {d} = atomic64_xchg((u64 *)({d} -{i}), {d})", "{d} = map[id:{i}]", "{i}: (c2) nospec", "BUG_{i}"),
    *(
        "frobnicate {d}",
        "{d} = ",
        "{n} {n}",
        "{i}",
        "{d}",
        "(",
        '.ascii "open',
        '\1"',
        "\0",
        "'",
        "goto",
        "{d} = {i} {i}",
    ),
)

_JUMP_TARGETS = ("{n}", "+{i}", "-{i}", "{i}", "1b", "1f", "2f", "{n}+{i}", "{n} - {i}", ".", "0x1f", "07b")

_ENDS = (
    "\n",
    "\n",
    "\n",
    "\n",
    "\r\n",
    " \n",
    "\t\n",
    ";",
    " ; ",
    "`",
    " # word\n",
    " // x\n",
    "\n\n",
    "/* a\nb */\n",
)
_INDENTS = ("", "", "\t", "  ", " \t ", "/* c */ ", "\f")


@st.composite
def _lines(draw: st.DrawFn) -> str:
    template = draw(st.sampled_from(_TEMPLATES))
    while (at := template.find("{")) >= 0:
        end = template.index("}", at) + 1
        parts = {"{d}": REGISTERS, "{i}": NUMBERS, "{n}": NAMES, "{t}": _JUMP_TARGETS, "{f}": FLOATS}[
            template[at:end]
        ]
        template = template[:at] + draw(st.sampled_from(parts)) + template[end:]
    return draw(st.sampled_from(_INDENTS)) + template


@st.composite
def _right_instructions(draw: st.DrawFn) -> str:
    instruction = draw(instructions())
    dialect = draw(dialects)
    if not instruction.opcode.template(dialect):
        dialect = Dialect.NORMAL if dialect is Dialect.PSEUDOC else Dialect.PSEUDOC
    return format_instruction(instruction, dialect)


@st.composite
def sources(draw: st.DrawFn, max_lines: int = 25) -> str:
    """A source: instructions of both dialects, labels, directives, comments, and here and there an error.

    A line may come again with other digits, so that it has the outline of one before.
    """
    lines: list[str] = []
    for _ in range(draw(st.integers(1, max_lines))):
        line = draw(_lines() | _right_instructions())
        lines.append(line + draw(st.sampled_from(_ENDS)))
        if draw(st.booleans()):
            digits = draw(st.sampled_from("01278"))
            place = draw(st.integers(0, len(line)))
            again = line[:place] + "".join(digits if char.isdigit() else char for char in line[place:])
            lines.append(again + draw(st.sampled_from(_ENDS)))
    text = "".join(lines)
    return text if draw(st.booleans()) else text.rstrip("\n")
