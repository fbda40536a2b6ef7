"""The assembler: text to an object file."""
