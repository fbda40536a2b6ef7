"""Writes instructions.md and helpers.md from the tables in the source: `python docs/generate.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from bpfas.helpers import HELPERS, LATEST_RELEASE
from bpfas.isa import OPCODES, IsaVersion, Opcode

_INSTRUCTIONS_HEAD = """\
# Instructions

Every instruction in both ways to write it, and as the kernel's verifier and bpftool write it where that is another
way, with its encoding. This page is made from the table that the assembler, the disassembler and the tests use
(`bpfas/isa.py`); `python docs/generate.py` writes it anew.

`dst` and `src` are registers r0 to r10: `%r1` or `r1`, and `%fp` for r10. In pseudo-C, `wD` and `wS` are the same
registers' lower halves, `w0` to `w10`. `imm` is a 32-bit number, `imm64` a 64-bit one, `off` a 16-bit offset in
bytes. `disp16` and `disp32` are labels, or numbers of instructions from the next one. Numbers may be written
signed or unsigned. Where a number may stand, a symbol may, if a relocation can express it.

The encoding gives the opcode's byte, and src, off and imm where the instruction fixes them. All other fields that
are no operand are zero.
"""

_HELPERS_HEAD = f"""\
# Helper functions

What the kernel lets programs call by number, up to Linux {LATEST_RELEASE}. `call bpf_map_lookup_elem` and `call 1`
are the same. This page is made from the table that the assembler, the disassembler and the loader use
(`bpfas/helpers.py`); `python docs/generate.py` writes it anew.

*since* is the first release of the kernel that has the helper. Which types of programs may call it depends on the
release as well: the verifier says so when the program is loaded, and `bpftool feature probe` lists it for the
running kernel. New functions come as kfuncs, which have no numbers and are not listed here.

| number | name | since |
|---:|---|---|
"""

_GROUPS: tuple[tuple[str, set[int]], ...] = (
    ("64-bit arithmetic", {7}),
    ("32-bit arithmetic and byte order", {4}),
    ("Loads of constants and of packets", {0}),
    ("Loads", {1}),
    ("Stores and atomic operations", {2, 3}),
    ("Jumps, calls, exit", {5}),
    ("32-bit jumps", {6}),
)

_TABLE_HEAD = "| GNU's dialect | pseudo-C | kernel's text | encoding | since |\n|---|---|---|---|---|\n"


def _text(template: str) -> str:
    text = template.replace("{off}", " + {off}").replace("{immoff}", " + {imm}").replace("{pcrel}", " + {disp32}")
    text = text.replace("{jump16}", " + {disp16}").replace("{jump32}", " + {disp32}")
    text = text.replace("{helper}", "name#imm")
    text = text.replace("{wdst}", "w{dst}").replace("{wsrc}", "w{src}").replace("{map}", "%map({name})")
    text = text.replace("w{dst}", "wD").replace("w{src}", "wS")
    return f"`{text.replace('{', '').replace('}', '')}`" if text else ""


def _encoding(row: Opcode) -> str:
    fixed = "".join(f", {name} {value:#x}" for name, value in row.fixed.items())
    return f"{row.code:02x}{fixed}{', two slots' if row.is_wide else ''}"


def instructions() -> str:
    """The text of instructions.md."""
    parts = [_INSTRUCTIONS_HEAD]
    for title, classes in _GROUPS:
        parts.append(f"\n## {title}\n\n{_TABLE_HEAD}")
        for row in OPCODES:
            if row.code & 7 in classes:
                since = "after v4" if row.isa is IsaVersion.LATEST else row.isa.spelling
                note = " (another spelling)" if row.is_alias else ""
                cells = (_text(row.normal), _text(row.pseudoc), _text(row.kernel), _encoding(row) + note, since)
                parts.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n")
    return "".join(parts)


def helpers() -> str:
    """The text of helpers.md."""
    rows = (f"| {helper.number} | `{helper.name}` | {helper.since} |\n" for helper in HELPERS.values())
    return _HELPERS_HEAD + "".join(rows)


PAGES = {"instructions.md": instructions, "helpers.md": helpers}

if __name__ == "__main__":
    for name, text in PAGES.items():
        (Path(__file__).parent / name).write_text(text(), encoding="utf-8")
    sys.exit(0)
