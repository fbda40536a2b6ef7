"""The assembler: text to an object file."""

from bpfas.asm.assembler import assemble, assemble_sources
from bpfas.asm.options import Options, Reading

__all__ = ["Options", "Reading", "assemble", "assemble_sources"]
