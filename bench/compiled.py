"""Assembling what clang writes for a large program, beside clang's own assembler and llvm-mc.

    python -m bench.compiled [--structs N] [--rounds N] [--keep FILE.s]

The program is made here, the same in every run: structures that refer to one another, as the kernel's do, and for
each a program that follows members of it with CO-RE. clang -S -g -O2 makes more than 300,000 lines of it, most of
them debug information, in about the shares that a program has which includes vmlinux.h.
"""

from __future__ import annotations

import argparse
import collections
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import compare, report

CLANG = "/usr/bin/clang-22"
LLVM_MC = "/usr/bin/llvm-mc-22"

_HEAD = """\
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
static long (*const bpf_trace_printk)(const char *text, u32 size, ...) = (void *)6;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
char license[] __attribute__((section("license_of_all"), used)) = "GPL";
"""
_TYPES = ("u8", "u16", "u32", "u64", "s32", "s64", "u64", "u32")
_WORDS = ("list", "node", "state", "count", "flags", "owner", "queue", "lock", "size", "name", "time", "entry")


def program(structs: int) -> str:
    """The C of so many structures, and as many programs."""
    chance = random.Random(1)
    parts = [_HEAD, *(f"struct s{number};\n" for number in range(structs))]
    parts.append("#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)\n")
    scalars = []
    for number in range(structs):
        members, own = _members(number, structs, chance)
        parts.append(f"enum e{number} {{ E{number}_NONE, E{number}_SOME = {chance.randrange(2, 99)} }};\n")
        parts.append(f"struct s{number} {{\n{''.join(f'    {member};{chr(10)}' for member in members)}}};\n")
        scalars.append(own)
    parts.append("#pragma clang attribute pop\n")
    parts.extend(_function(number, own, chance) for number, own in enumerate(scalars))
    return "".join(parts)


def _members(number: int, structs: int, chance: random.Random) -> tuple[list[str], list[str]]:
    """A structure's members as C, and the names of those that are plain numbers."""
    found, scalars = [], []
    for index in range(chance.randrange(8, 24)):
        name = f"{chance.choice(_WORDS)}_{number}_{index}"
        other = chance.randrange(structs)
        match chance.randrange(10):
            case 0 | 1 | 2 | 3:
                found.append(f"{chance.choice(_TYPES)} {name}")
                scalars.append(name)
            case 4 | 5 | 6:
                found.append(f"struct s{other} *{name}")
            case 7:
                found.append(f"{chance.choice(_TYPES)} {name}[{chance.randrange(2, 40)}]")
            case 8:
                found.append(f"enum e{number} {name}; u32 {name}_bits : {chance.randrange(1, 31)}")
            case _:
                found.append(f"int (*{name})(struct s{other} *, u32)")
    found.append(f"u64 last_{number}")
    return found, [*scalars, f"last_{number}"]


def _function(number: int, scalars: list[str], chance: random.Random) -> str:
    reads = "".join(
        f"    {{ typeof(p->{name}) v; bpf_probe_read_kernel(&v, sizeof v, &p->{name}); total += v; }}\n"
        for name in chance.sample(scalars, min(3, len(scalars)))
    )
    return (
        f'__attribute__((section("kprobe/function_{number}"), used)) int function_{number}(void *context)\n'
        f"{{\n    struct s{number} *p = *(struct s{number} **)context;\n    u64 total = 0;\n{reads}"
        f'    static const char text[] = "s{number}: %llu\\n";\n'
        "    bpf_trace_printk(text, sizeof text, total);\n    return total & 1;\n}\n"
    )


def shapes(text: str) -> collections.Counter[str]:
    """How many lines are of which shape: strings, numbers, registers and names that are counted taken out."""
    found: collections.Counter[str] = collections.Counter()
    for line in text.splitlines():
        shape = re.sub(r'"(?:\\.|[^"\\])*"', '"…"', line)
        shape = re.sub(r"\s*#.*", " #", shape)
        shape = re.sub(r"\b([rw])\d+\b", r"\1N", shape)
        shape = re.sub(r"(?<![\w.])(\.?[A-Za-z_]+)\d+(_\d+)?\b", r"\1N", shape)
        found[re.sub(r"\b(?:0x[0-9a-f]+|\d+)\b", "N", shape)] += 1
    return found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--structs", type=int, default=500, help="structures, and programs (default: 500)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="FILE.s", help="keep clang's assembly")
    parser.add_argument(
        "--shapes", type=int, default=0, metavar="N", help="also show the N commonest shapes of lines"
    )
    given = parser.parse_args()
    ours = str(Path(sys.executable).parent / "bpf-as")
    with tempfile.TemporaryDirectory() as directory:
        c, output = Path(directory, "large.c"), str(Path(directory, "large.o"))
        source = given.keep or Path(directory, "large.s")
        c.write_text(program(given.structs))
        target = ["--target=bpfel", "-mcpu=v3"]
        if not Path(CLANG).exists():
            print(f"{CLANG} is not installed, so there is nothing to measure")
            return 1
        subprocess.run([CLANG, *target, "-g", "-O2", "-S", c, "-o", source], check=True)
        text = source.read_text()
        lines = text.count("\n")
        commands = {
            "bpf-as": [ours, "-EL", str(source), "-o", output],
            "llvm-mc": [LLVM_MC, "-triple=bpfel", "-mcpu=v3", "-filetype=obj", str(source), "-o", output],
            "clang -c": [CLANG, *target, "-c", str(source), "-o", output],
        }
        print(f"{lines:,} lines of clang -S -g -O2, {given.rounds} rounds:")
        report(
            compare(
                {name: command for name, command in commands.items() if Path(command[0]).exists()}, given.rounds
            ),
            "bpf-as",
            lines,
        )
        for shape, count in shapes(text).most_common(given.shapes):
            print(f"  {count:9,} {100 * count / lines:6.2f} %  {shape.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
