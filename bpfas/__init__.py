"""bpf-as: an assembler, a static linker, a disassembler and a kernel loader for BPF.

The tools are the subpackages `bpfas.asm`, `bpfas.link`, `bpfas.objdump` and `bpfas.loader`; what they share
(instruction table, relocation table, object file, ELF, diagnostics) lies in the modules beside this file.
"""

from __future__ import annotations

__version__ = "0.1.0"
