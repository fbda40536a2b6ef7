"""The assembler: text to an object file."""

from bpfas.asm.assembler import Options, assemble, assemble_sources

__all__ = ["Options", "assemble", "assemble_sources"]
