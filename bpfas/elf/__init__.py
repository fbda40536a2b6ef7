"""The ELF file format for BPF: its numbers, a reader for foreign files, and the writer."""
