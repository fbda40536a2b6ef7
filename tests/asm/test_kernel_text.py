"""What the verifier's log and bpftool's dump print assembles to what was loaded, or is a clear error."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.isa import BY_NAME, OPCODES, Instruction, IsaVersion, Opcode, encode
from bpfas.loader import syscall
from bpfas.loader.kinds import ProgramType
from tests.peers import Peer
from tests.strategies import extremes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOG_SIZE = 1 << 24
LANGUAGE = Path(__file__).parents[2] / "docs" / "language.md"
INSTRUCTION = re.compile(re.findall(r"grep -E '(.*)' log.txt", LANGUAGE.read_text(encoding="utf-8"))[0])
"""What the documentation says that a line begins with if it is an instruction."""

PRINTED = [
    row
    for row in OPCODES
    if not row.is_alias and row.name not in ("ld_pseudo", "call", "call_kfunc", "callx", "brkpt", "ldxsdw")
]
"""Rows whose instructions the kernel prints with nothing but their operands."""

NOT_LOADED = {
    "addr_space_cast",  # needs an arena
    "gotox",  # needs a table of jump targets
    "call_pseudo",  # put at the end of the program
    "exit",
}


def kernel_text(instruction: Instruction) -> str:
    """The opcode and the text as kernel/bpf/disasm.c writes them, from the row's template."""
    row = instruction.opcode
    # The 32-bit add without a result has the spelling of before there were others, a row of its own.
    printed = BY_NAME["xaddw_lock"].pseudoc if row.name == "aadd32" else row.kernel or row.pseudoc
    template = re.sub(r"(\(s\d+\)) ", r"\1", printed)

    def operand(match: re.Match[str]) -> str:
        match match[1]:
            case "dst" | "src" as name:
                return f"r{getattr(instruction, name)}"
            case "wdst" | "wsrc" as name:
                return f"w{getattr(instruction, name[1:])}"
            case "off":
                return f" {instruction.off:+d}"
            case "jump16":
                return f"{instruction.off:+d}"
            case "jump32" | "pcrel":
                return f"{instruction.imm:+d}"
            case "immoff":
                return f" + {instruction.imm}"
            case "imm64":
                return f"{instruction.imm & (1 << 64) - 1:#x}"
            case "dst_as":
                return str(instruction.imm >> 16)
            case "src_as":
                return str(instruction.imm & 0xFFFF)
            case "imm" if template.startswith("if "):
                return f"{instruction.imm & (1 << 32) - 1:#x}"
        return str(instruction.imm)

    text = re.sub(r"{(\w+)}", operand, template)
    return f"({row.code:02x}) {text}"


def assembled(text: str, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    section = assemble(text, byte_order=order).section(".text")
    return bytes(section.data) if section else b""


def errors(text: str) -> str:
    with pytest.raises(BpfasError) as caught:
        assemble(text)
    return str(caught.value)


@pytest.mark.parametrize("row", PRINTED, ids=lambda row: row.name)
def test_every_instruction_assembles_from_the_kernels_text(row: Opcode) -> None:
    for order in ByteOrder:
        instructions = [i for i in extremes(row) if row.name != "lddw" or i.imm >= 0]
        text = "".join(f"{n:4}: {kernel_text(i)}\n" for n, i in enumerate(instructions))
        assert assembled(text, order).hex(" ", 8) == b"".join(encode(i, order) for i in instructions).hex(" ", 8)


# Programs that are loaded.

Unit = list[Instruction]


def insn(name: str, **operands: int) -> Instruction:
    return Instruction(BY_NAME[name], **operands)


def _units(accept: Callable[[Opcode], bool]) -> Iterator[Unit]:
    """For each row that the kernel takes and `accept` too, instructions with one of the row at their end.

    r6 is the context, r2 and r3 hold numbers that the verifier does not know.
    """
    known = {"off": -8, "imm": 5}
    for row in PRINTED:
        if row.name in NOT_LOADED or not accept(row):
            continue
        base = re.search(r"{(dst|src)}{off}", row.pseudoc)
        values = {"dst": 2, "src": 3, **known, **({base[1]: 10} if base else {})}
        if row.is_wide:
            values["imm"] = 0x1122_3344_5566_7788
        jumps = "disp16" in row.operands or "disp32" in row.operands
        if jumps:
            values.update({"off": 1} if "disp16" in row.operands else {"imm": 1})
        if row.name.startswith("ldind"):
            values["src"] = 2
        fields = {name: value for name, value in values.items() if name in row.kinds}
        # What `ja` goes over must be reached by another way.
        before = [insn("jeq_imm", dst=3, imm=7, off=1)] if row.name in ("ja", "jal") else []
        after = [insn("mov_reg", dst=4, src=3)] if jumps else []
        load = [insn("ldxw", dst=2, src=6, off=0), insn("ldxw", dst=3, src=6, off=0)]
        yield [*load, *before, Instruction(row, **fields), *after]


def program(accept: Callable[[Opcode], bool] = lambda _: True) -> Unit:
    """A program with every instruction that the kernel takes and `accept` too."""
    return [
        insn("mov_reg", dst=6, src=1),
        insn("call", imm=5),
        insn("stxdw", dst=10, src=0, off=-8),
        *(instruction for unit in _units(accept) for instruction in unit),
        insn("call", imm=5),
        insn("call_pseudo", imm=2),
        insn("mov_imm", dst=0, imm=0),
        insn("exit"),
        insn("mov_imm", dst=0, imm=-1),
        insn("exit"),
    ]


def expected_texts(instructions: Unit) -> dict[int, str]:
    """The kernel's text of each instruction, by the index of its first slot."""
    texts: dict[int, str] = {}
    index = 0
    for instruction in instructions:
        is_helper = instruction.opcode.name == "call"
        texts[index] = "(85) call bpf_ktime_get_ns#5" if is_helper else kernel_text(instruction)
        index += instruction.opcode.size // 8
    return texts


def load(code: bytes) -> tuple[int, str]:
    """The descriptor of a loaded program, and the verifier's log at level 2."""
    log = syscall.LogBuffer(LOG_SIZE, level=2)
    try:
        return syscall.prog_load(
            syscall.ProgramLoad("text", ProgramType.SOCKET_FILTER, code, b"GPL"), log
        ), log.text
    except OSError as error:
        if "unknown opcode" in log.text or "invalid" in log.text:
            pytest.skip(f"this kernel lacks an instruction: {log.text.splitlines()[-2:]}")
        pytest.fail(f"{error}\n{log.text[-3000:]}")


@pytest.fixture(scope="module")
def loaded() -> tuple[bytes, str]:
    """A program of everything that can be loaded, and the verifier's log of it."""
    code = b"".join(map(encode, program()))
    descriptor, log = load(code)
    os.close(descriptor)
    return code, log


@pytest.mark.kernel
def test_what_the_verifier_checks_assembles_to_what_was_loaded(loaded: tuple[bytes, str]) -> None:
    code, log = loaded
    trace = log.partition("\n0: R1")[2]
    lines = {int(line.partition(":")[0]): line for line in reversed(trace.splitlines()) if INSTRUCTION.match(line)}
    expected = expected_texts(program())
    shown = {index: line.partition(": ")[2].partition(";")[0].rstrip() for index, line in lines.items()}
    assert {index: shown.get(index) for index in expected} == expected
    assert assembled("\n".join(lines[index] for index in sorted(lines))).hex(" ", 8) == code.hex(" ", 8)


@pytest.mark.kernel
def test_the_list_of_live_registers_assembles_to_what_was_loaded(loaded: tuple[bytes, str]) -> None:
    code, log = loaded
    _, title, rest = log.partition("Live regs before insn:\n")
    if not title:
        pytest.skip("this kernel does not list live registers")
    listing = filter(INSTRUCTION.match, rest.partition("\n0: R1")[0].splitlines())
    assert assembled("\n".join(listing)).hex(" ", 8) == code.hex(" ", 8)


@pytest.mark.kernel
@pytest.mark.peer
def test_bpftools_dump_assembles_to_what_it_shows() -> None:
    # Debian's bpftool may be older than v4; for loads from packets the kernel puts calls of its own.
    instructions = program(lambda row: row.isa <= IsaVersion.V3 and "skb" not in row.pseudoc)
    descriptor, _ = load(b"".join(map(encode, instructions)))
    try:
        number = str(syscall.prog_info(descriptor).id)
        text = Peer.BPFTOOL.run("prog", "dump", "xlated", "id", number).text
        with_opcodes = Peer.BPFTOOL.run("prog", "dump", "xlated", "id", number, "opcodes").text
    finally:
        os.close(descriptor)
    hexadecimal = "".join(line for line in with_opcodes.splitlines() if not INSTRUCTION.match(line))
    shown, ours = (
        _split(bytes.fromhex(hexadecimal)),
        _split(assembled("\n".join(filter(INSTRUCTION.match, text.splitlines())))),
    )
    assert len(shown) == len(ours) > len(instructions)
    calls = iter([bytes.fromhex("8500000005000000")] * 2 + [bytes.fromhex("8510000002000000")])
    assert ours == [next(calls) if slot[0] == 0x85 else slot for slot in shown]
    assert next(calls, None) is None


def _split(data: bytes) -> list[bytes]:
    return [data[at : at + 8] for at in range(0, len(data), 8)]


# Texts, without a kernel.


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param("  12: (bf) r6 = r1   ; R1=ctx() R6=ctx()", "mov %r6, %r1", id="state after the instruction"),
        pytest.param("0: (07) r0 += -1 ; /* # \" ` '", "add %r0, -1", id="a state may hold anything"),
        pytest.param("0: (b7) r0 = 1 # a ; b", "mov %r0, 1", id="other comments too"),
        pytest.param("0: (37) r0 /= 1 // a ; b", "div %r0, 1", id="a division is no comment"),
        pytest.param("0: (b7) r0 = 1 /* a\n1: (bf) */\nexit", "mov %r0, 1\nexit", id="a block begins there"),
        pytest.param("/*\n1: (b7) r1 = 2 ; */ exit", "exit", id="a block ends there"),
        pytest.param("exit; exit\n1: (95) exit;exit", "exit\nexit\nexit", id="`;` still separates elsewhere"),
        pytest.param("goto 1f\n1: (95) exit\n1: exit", "ja +1\nexit\nexit", id="an index is no label"),
        pytest.param("0: .12....... (07) r2 += -4", "add %r2, -4", id="live registers"),
        pytest.param("1: (18) r1 = 0x5    ; R1=5", "lddw %r1, 5", id="a load by its opcode"),
        pytest.param("0: (b7) r1 = 5\n1: (18) r1 = 5", "mov %r1, 5\nlddw %r1, 5", id="opcodes choose"),
        pytest.param("1: (18) r1 = 0x5 ; R1_w=invP5 R2=map_ptr(x)", "lddw %r1, 5", id="a load, by an old kernel"),
        pytest.param("1: (18) r1 = 0xffff888012345678 ; R1=scalar()", "lddw %r1, 0xffff888012345678", id="known"),
        pytest.param("1: (18) r1 = 0xffffffffffffffff", "lddw %r1, -1", id="a negative number"),
        pytest.param("1: .......... (18) r1 = 0x5 ll", "lddw %r1, 5", id="what was doubtful, decided"),
        pytest.param("1: (85) call bpf_map_lookup_elem#1", "call 1", id="a helper"),
        pytest.param("bpf_ktime_get_ns:\n1: (85) call bpf_ktime_get_ns#5", "call 5", id="never a function"),
        pytest.param("1: (85) call bpf_ktime_get_ns#-269488", "call 5", id="a helper by bpftool"),
        pytest.param("call bpf_map_lookup_elem#1", "call 1", id="a helper, without its opcode"),
        pytest.param("1: (85) call pc+3#bpf_prog_0eb5405ba529d7d5_F", "call pc+3", id="a function by bpftool"),
        pytest.param("goto pc-2", "ja -2", id="goto"),
        pytest.param("gotol pc+70000", "jal 70000", id="gotol"),
        pytest.param("may_goto pc+2", "may_goto 2", id="may_goto"),
        pytest.param("if w1 s< 0xfffffffb goto pc+0", "jslt32 %r1, -5, 0", id="unsigned immediates"),
        pytest.param("pc: pc1: goto pc\ngoto pc1", "ja -1\nja -2", id="symbols"),
        pytest.param("r0 = *(u32 *)skb[r7 + -6]", "ldindw %r7, -6", id="a negative offset into a packet"),
        pytest.param("lock *(u32 *)(r2 -8) ^= r1", "axor32 [%r2-8], %r1", id="lock"),
        pytest.param("r1 = atomic_fetch_or((u32 *)(r2 -8), r1)", "afor32 [%r2-8], %r1", id="fetch"),
        pytest.param("r0 = atomic64_cmpxchg((u64 *)(r2 +0), r0, r1)", "acmp [%r2+0], %r1", id="cmpxchg"),
    ],
)
def test_the_text_and_gnus_dialect_assemble_alike(text: str, same: str) -> None:
    assert assembled(text).hex(" ", 8) == assembled(same).hex(" ", 8)


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("0: (b7) r0 = r1", "1:1", "the opcode of this instruction is (bf), not (b7)"),
        ("0: (bf) r0 = 0x5", "1:1", "the opcode of this instruction is (b7) or (18), not (bf)"),
        ("0: (37) r0 = atomic_xchg((u32 *)(r2 +0), r0)", "1:1", "is (c3), not (37)"),
        ("0: (18) r1 = map[id:5]", "1:14", "a map of the running kernel"),
        ("0: (18) r1 = map[id:5][0]+16", "1:14", "a map of the running kernel"),
        ("0: (18) r1 = subprog[+5]", "1:14", "a function of the loaded program"),
        ("0: (18) r1 = 0xffff88810443c000 ; R1=map_ptr(map=h)", "1:14", "what the kernel calls map_ptr"),
        ("0: (18) r1 = 0x0 ; R1_w=map_ptr(ks=4)", "1:14", "what the kernel calls map_ptr"),
        ("0: (18) r1 = 0x7 ; frame1: R1=func() R10=fp0", "1:14", "what the kernel calls func"),
        ("0: (18) r1 = 0xffff88810443c000", "1:14", "may be a number or a place in the kernel"),
        ("0: .1........ (18) r1 = 0x7", "1:25", "`r1 = 0x7 ll` for a number"),
        ("0: (85) call unknown#195896080", "1:14", "did not name the function"),
        ("0: (85) call bpf_ktime_get_ns#6", "1:14", "`bpf_ktime_get_ns` is helper 5; 6 is `bpf_trace_printk`"),
        ("0: (85) call bpf_user_rnd_u32#22592", "1:14", "`bpf_user_rnd_u32` is no helper"),
        ("0: (85) call 0xffffffff81234567#-5", "1:14", "the address of a function"),
        ("0: (85) call kernel-function#123", "1:14", "BTF id"),
        ("0: (c2) nospec", "1:1", "a barrier that the kernel puts in by itself"),
        ("0: (bf) r1 = &(void __percpu *)(r1)", "1:14", "the kernel's own"),
        ("0: BUG_alu64_d7", "1:4", "use a newer one"),
        ("0: BUG_db", "1:4", "use a newer one"),
        ("0: (06) if w0 jmp 0x0 goto pc+0", "1:9", "use a newer one"),
        ("0: (05) goto pc+40000", "1:16", "jump offset 40000 is out of range -32768 to 32767"),
        ("0: (05) goto pc+label", "1:16", "the jump offset must be a number that is known here"),
        ("r1 = 0x1122334455667788", "1:6", "`rN = … ll`) loads 64 bits"),
        ("0: (bf) .byte 1", "1:1", "there is no instruction of this form"),
    ],
)
def test_what_says_too_little_is_an_error_that_says_why(text: str, at: str, message: str) -> None:
    found = errors(text)
    assert f"<string>:{at}" in found
    assert message in found
