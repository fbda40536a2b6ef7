"""Where our links say something else than libbpf's linker, and why: what a comparison of the two leaves out.

Everything that is not here is compared, and equal.

- Orders (of symbols, sections, types, records): locals come first in our symbol tables, as ELF demands.
- Strings in sections with the flags for merging: ours keeps each once, libbpf's linker appends. Sizes and offsets
  differ, so references are compared by the string that they lead to.
- Calls of functions in the same section need no relocation: ours are settled, libbpf's linker leaves them to the
  loader. Both are compared by where they lead.
- Prototypes that nothing refers to: libbpf's linker keeps that of a declaration for which it found the definition.
- What weak definitions that lost leave behind: ours goes without. Who wins is compared by running.
- libbpf 1.1's linker is asked twice, the second time for its own output: in the first one the offsets of variables
  that were declared before they were defined are wrong.
"""

from __future__ import annotations

LEFT_OUT_SECTIONS = {
    ".llvm_addrsig": "both linkers drop it",
    ".debug_": "libbpf's linker drops it; llvm-dwarfdump judges ours",
    ".comment": "libbpf's linker keeps it like data of the program; ours merges its strings",
    ".BTF": "types and records are compared by what they say",
}
"""Sections that are not compared byte by byte, by what their names begin with."""
