"""The disassembler: an object file to text."""
