"""Loader programs in files: raw, and as ELF objects."""
