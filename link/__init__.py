"""The static linker: object files to one object file."""
