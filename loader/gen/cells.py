"""The cells of loader programs by what they hold."""

from __future__ import annotations

from bpfas.loader.gen.script import Cell, CellKind

BTF = Cell("BTF")


def map_cell(name: str) -> Cell:
    """The descriptor of a map."""
    return Cell(f"map {name}")


def inner_cell(name: str) -> Cell:
    """The descriptor of the map that serves a map of maps as a template."""
    return Cell(f"inner map of {name}")


def program_cell(name: str) -> Cell:
    """The descriptor of a program."""
    return Cell(f"program {name}")


def jump_table_cell(program: str, number: int) -> Cell:
    """The descriptor of one of a program's jump tables."""
    return Cell(f"jump table {number} of {program}")


def type_cell(name: str) -> Cell:
    """The id of a type of the kernel."""
    return Cell(f"type of {name}", CellKind.NUMBER)


def owner_cell(name: str) -> Cell:
    """The descriptor of the BTF that has the type."""
    return Cell(f"BTF of {name}")


def address_cell(name: str) -> Cell:
    """The address of a symbol of the kernel."""
    return Cell(f"address of {name}", CellKind.NUMBER)
