"""The table against LLVM's and GNU's assemblers: random instructions of every row, printed, give the same bytes.

What a peer does not take is listed by row with the reason, and the lists are tested too: a peer that learns an
instruction fails the test until the row is taken off its list.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import ByteOrder, SectionFlag
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.isa import OPCODES, OPERAND_KINDS, Dialect, Instruction, Opcode, decode, encode, format_instruction
from bpfas.objfile import ObjectFile, Section
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.peer

INSTRUCTIONS_PER_ROW = 20

_GNU_LACKS = "not in binutils 2.40"
_NO_ABSOLUTE_ADD = "LLVM takes the old atomic add only with `lock` before it"
_IS_SYMBOL = "its operand is a symbol"

LLVM_LACKS = {
    "mov32_from_w": "clang prints it, LLVM's assembler refuses it",
    "lddw_map": _IS_SYMBOL,
    "ldxsdw": "RFC 9669 has no sign-extending load of 64 bits; it is GNU's",
    "xadddw": _NO_ABSOLUTE_ADD,
    "xaddw": _NO_ABSOLUTE_ADD,
    "xaddw_w": _NO_ABSOLUTE_ADD,
    "call_pseudo": "LLVM reads `pc` as a symbol and wraps the sum at its size in bytes",
    "call_kfunc": "ours; LLVM writes the call of an extern and leaves the rest to the loader",
    "call_reg": "LLVM calls it callx only",
    "brkpt": "GNU's, for simulators",
}

GNU_LACKS = {
    **dict.fromkeys(
        ("sdiv_imm", "sdiv_reg", "sdiv32_imm", "sdiv32_reg"), "2.40 has it for xbpf only, and with other bits"
    ),
    **dict.fromkeys(
        ("smod_imm", "smod_reg", "smod32_imm", "smod32_reg"), "2.40 has it for xbpf only, and with other bits"
    ),
    **dict.fromkeys(("movs_8", "movs_16", "movs_32", "movs32_8", "movs32_16"), _GNU_LACKS),
    **dict.fromkeys(("bswap16", "bswap32", "bswap64"), _GNU_LACKS),
    **dict.fromkeys(("ldxsb", "ldxsh", "ldxsw", "ldxsdw"), _GNU_LACKS),
    **dict.fromkeys(
        (f"a{f}{name}{w}" for f in ("", "f") for name in ("add", "or", "and", "xor") for w in ("", "32")),
        _GNU_LACKS,
    ),
    **dict.fromkeys(("axchg", "axchg32", "acmp", "acmp32"), _GNU_LACKS),
    **dict.fromkeys(("jal", "callx"), _GNU_LACKS),
    "call_reg": "2.40 has it for xbpf only",
    "ldimm64": "the spelling of the BPF mailing list",
    "lddw_map": _IS_SYMBOL,
    "ldimm64_map": _IS_SYMBOL,
    "call_pseudo": "GNU reads `pc` as a symbol",
    **dict.fromkeys(
        (f"{name}{size}" for name in ("ldacq", "strel") for size in ("b", "h", "w", "dw")), "LLVM's only"
    ),
    **dict.fromkeys(("addr_space_cast", "may_goto", "gotox"), "LLVM's only"),
    **dict.fromkeys(("ld_pseudo", "call_kfunc"), "no spelling in GNU's dialect but ours"),
}


def random_instruction(row: Opcode, rng: random.Random, limits: dict[str, tuple[int, int]]) -> Instruction:
    """An instruction of `row`, its operands within their kinds' bounds and, by name, within `limits`."""
    fields = {"dst": 0, "src": 0, "off": 0, "imm": 0}
    for name in row.operands:
        kind = OPERAND_KINDS[name]
        low, high = limits.get(name, (kind.low, kind.high))
        value = rng.choice((low, high, max(low, 0), rng.randint(low, high), rng.randint(low, high)))
        match kind.field:
            case "imm_high":
                fields["imm"] |= value << 16
            case "imm_low":
                fields["imm"] |= value
            case field_name:
                fields[field_name] = value
    return Instruction(row, **fields)


def samples(rows: Iterator[Opcode], limits: dict[str, tuple[int, int]]) -> list[Instruction]:
    """The same instructions in every run, several of each row, in random order."""
    rng = random.Random(9669)  # noqa: S311
    chosen = [random_instruction(row, rng, limits) for row in rows for _ in range(INSTRUCTIONS_PER_ROW)]
    rng.shuffle(chosen)
    return chosen


# LLVM: no immediate in indirect packet loads, and 16 bits of a gotol target that is a number (a label reaches
# further). It also drops the high half of a pseudo load's immediate: see llvm_samples.
LLVM_LIMITS = {"immoff": (0, 0), "disp32": (-0x8000, 0x7FFF)}
LLVM_TEXTS = {"immoff": ""}


def llvm_samples() -> list[Instruction]:
    """Instructions that LLVM's assembler should take."""
    chosen = samples((row for row in OPCODES if row.pseudoc and row.name not in LLVM_LACKS), LLVM_LIMITS)
    return [i._replace(imm=i.imm & 0x7FFFFFFF) if i.opcode.name == "ld_pseudo" else i for i in chosen]


# GNU as 2.40: no r11, and the offset of a memory operand always follows a plus.
GNU_LIMITS = dict.fromkeys(("dst", "src", "wdst", "wsrc"), (0, 10))


def gnu_text(instruction: Instruction) -> str:
    """The instruction as GNU as 2.40 takes it."""
    return format_instruction(instruction, Dialect.NORMAL, {"off": f"+{instruction.off}"})


def gnu_samples() -> list[Instruction]:
    """Instructions that GNU as 2.40 should take."""
    return samples((row for row in OPCODES if row.normal and row.name not in GNU_LACKS), GNU_LIMITS)


def llvm_text(instruction: Instruction) -> str:
    """The instruction as LLVM takes it."""
    return format_instruction(instruction, Dialect.PSEUDOC, LLVM_TEXTS)


def llvm_mc(lines: list[str], order: ByteOrder, output: Path, *, check: bool = True) -> str:
    """Assemble with LLVM; what it says."""
    triple = "bpfel" if order is ByteOrder.LITTLE else "bpfeb"
    options = (f"-triple={triple}", "-mcpu=v4", "-filetype=obj", "-o", output)
    return Peer.LLVM_MC.run(*options, stdin="".join(f"{line}\n" for line in lines).encode(), check=check).errors


def gnu_as(lines: list[str], order: ByteOrder, output: Path, *, check: bool = True) -> str:
    """Assemble with GNU as; what it says."""
    flag = "-EL" if order is ByteOrder.LITTLE else "-EB"
    return Peer.GNU_AS.run(
        flag, "-o", output, stdin="".join(f"{line}\n" for line in lines).encode(), check=check
    ).errors


def decode_all(data: bytes, order: ByteOrder) -> Iterator[Instruction]:
    """Every instruction of a section."""
    offset = 0
    while offset < len(data):
        instruction = decode(data, offset, order)
        yield instruction
        offset += instruction.opcode.size


def text_section(path: Path) -> bytes:
    """The contents of .text."""
    section = read_object(path.read_bytes(), str(path)).section(".text")
    assert section
    return bytes(section.data)


ASSEMBLERS = [
    pytest.param(llvm_mc, llvm_samples, llvm_text, id="llvm-mc"),
    pytest.param(gnu_as, gnu_samples, gnu_text, id="gnu-as"),
]


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize(("assemble", "choose", "text"), ASSEMBLERS)
def test_printed_instructions_assemble_to_our_bytes(
    assemble: Callable[..., str],
    choose: Callable[[], list[Instruction]],
    text: Callable[[Instruction], str],
    order: ByteOrder,
    tmp_path: Path,
) -> None:
    chosen = choose()
    messages = assemble([text(instruction) for instruction in chosen], order, tmp_path / "peer.o")
    data = text_section(tmp_path / "peer.o")
    assert messages == ""
    offset = 0
    for instruction in chosen:
        ours = encode(instruction, order)
        assert data[offset : offset + len(ours)].hex(" ") == ours.hex(" "), text(instruction)
        offset += len(ours)
    assert offset == len(data)
    assert b"".join(encode(instruction, order) for instruction in decode_all(data, order)) == data


@pytest.mark.parametrize(
    ("assemble", "lacks", "dialect"),
    [
        pytest.param(llvm_mc, LLVM_LACKS, Dialect.PSEUDOC, id="llvm-mc"),
        pytest.param(gnu_as, GNU_LACKS, Dialect.NORMAL, id="gnu-as"),
    ],
)
def test_peer_refuses_what_its_list_says(
    assemble: Callable[..., str], lacks: dict[str, str], dialect: Dialect, tmp_path: Path
) -> None:
    """One line for each row of the list, and an error for each, save where the text means something else."""
    others = {name for name, reason in lacks.items() if reason == _IS_SYMBOL} | {"call_pseudo"}
    rng = random.Random(1)  # noqa: S311
    rows = [row for row in OPCODES if row.name in lacks and row.name not in others and row.template(dialect)]
    instructions = [random_instruction(row, rng, GNU_LIMITS) for row in rows]
    text = gnu_text if dialect is Dialect.NORMAL else llvm_text
    messages = assemble(
        [text(instruction) for instruction in instructions], ByteOrder.LITTLE, tmp_path / "x.o", check=False
    )
    refused = {int(line.split(":")[1]) for line in messages.splitlines() if "rror:" in line}
    assert [row.name for number, row in enumerate(rows, 1) if number not in refused] == []


def test_lists_name_rows_only() -> None:
    names = {row.name for row in OPCODES}
    assert (LLVM_LACKS.keys() | GNU_LACKS.keys()) - names == set()


@pytest.mark.parametrize("order", ByteOrder)
def test_llvm_objdump_prints_every_row(order: ByteOrder, tmp_path: Path) -> None:
    """Bytes of ours in an object: LLVM shows an instruction for each, save those that only GNU has."""
    unknown_to_llvm = {"ldxsdw", "brkpt"}
    rng = random.Random(2)  # noqa: S311
    instructions = [random_instruction(row, rng, {}) for row in OPCODES if row.name not in unknown_to_llvm]
    data = b"".join(encode(instruction, order) for instruction in instructions)
    (tmp_path / "ours.o").write_bytes(write_object(code_object(data, order)))
    listing = Peer.LLVM_OBJDUMP.run("-d", "--no-show-raw-insn", "--mcpu=v4", tmp_path / "ours.o").text
    assert "<unknown>" not in listing
    shown = {int(line.split(":")[0], 16) for line in listing.splitlines() if line.startswith(" ")}
    assert len(shown) == len(instructions)


def code_object(data: bytes, order: ByteOrder) -> ObjectFile:
    """An object with nothing but instructions in .text."""
    flags = SectionFlag.ALLOC | SectionFlag.EXECINSTR
    return ObjectFile("ours.o", order, [Section(".text", sh_flags=flags, sh_addralign=8, data=data)])
