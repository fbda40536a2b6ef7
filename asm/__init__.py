"""The assembler: text to an object file."""

from bpfas.asm.assembler import Options, Reading, assemble, assemble_sources

__all__ = ["Options", "Reading", "assemble", "assemble_sources"]
