"""Assembling a million instruction lines, beside GNU as and llvm-mc: `make bench`.

The lines are like a compiler's: arithmetic, loads, stores, branches to labels near by, calls. In GNU's dialect
they are compared with GNU as, in pseudo-C with llvm-mc; where a peer is not installed, ours runs alone.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from bench.measure import compare, report
from bpfas.isa import BY_NAME, Dialect, Instruction, Opcode, format_instruction

PEERS = {
    Dialect.NORMAL: ("GNU as", ["/usr/bin/bpf-as", "-EL"]),
    Dialect.PSEUDOC: ("llvm-mc", ["/usr/bin/llvm-mc-22", "-triple=bpfel", "-mcpu=v4", "-filetype=obj"]),
}

_SHARES = (
    (0.28, ("add_imm", "sub_imm", "and_imm", "lsh_imm", "rsh_imm", "mov_imm", "mov32_imm", "add32_imm")),
    (0.17, ("mov_reg", "add_reg", "or_reg", "mov32_reg", "xor_reg")),
    (0.20, ("ldxb", "ldxh", "ldxw", "ldxdw")),
    (0.14, ("stxb", "stxh", "stxw", "stxdw")),
    (0.04, ("lddw",)),
    (0.03, ("call",)),
    (0.14, ("jeq_imm", "jne_imm", "jgt_reg", "jsgt_imm", "ja")),
)
_LABEL_EVERY = 12


def program(lines: int, dialect: Dialect) -> str:
    """A text of so many lines, the same in every run."""
    chance = random.Random(1)
    shares, groups = zip(*_SHARES, strict=True)
    text = ["\t.text", "main:"]
    for number in range(lines):
        if number % _LABEL_EVERY == 0:
            text.append(f"LBB0_{number // _LABEL_EVERY}:")
            continue
        row = BY_NAME[chance.choice(chance.choices(groups, shares)[0])]
        target = min(number // _LABEL_EVERY + chance.randrange(1, 30), (lines - 1) // _LABEL_EVERY)
        texts = {"disp16": f"LBB0_{target}"}
        text.append(f"\t{format_instruction(_operands(row, chance), dialect, texts)}")
    return "\n".join([*text, "\texit", ""])


def _operands(row: Opcode, chance: random.Random) -> Instruction:
    imm = chance.randrange(1 << 40) if row.is_wide else chance.randrange(-1000, 64)
    if row.name == "call":
        imm = chance.randrange(1, 200)
    # GNU as before 2.41 does not take a negative offset.
    return Instruction(row, chance.randrange(10), chance.randrange(10), chance.randrange(256), imm)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    ours = str(Path(sys.executable).parent / "bpf-as")
    with tempfile.TemporaryDirectory() as directory:
        for dialect, (peer, command) in PEERS.items():
            source = os.path.join(directory, f"{dialect.value}.s")
            Path(source).write_text(program(given.lines, dialect))
            output = os.path.join(directory, "out.o")
            commands = {"bpf-as": [ours, "-EL", source, "-o", output]}
            if os.path.exists(command[0]):
                commands[peer] = [*command, source, "-o", output]
            print(f"{given.lines:,} lines, {dialect.value} dialect, {given.rounds} rounds:")
            report(compare(commands, given.rounds), "bpf-as", given.lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
