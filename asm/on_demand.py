"""Handlers of directives that few sources have: their module is imported by the first statement that needs it.

A small source is assembled in less time than all modules take to import.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def on_demand(module: str, table: str, names: str) -> dict[str, Callable[..., Any]]:
    """Stands for `table` of the module `bpfas.asm.module`, which has a handler for each of these names."""
    return {name: partial(_call, module, table, name) for name in names.split()}


def _call(module: str, table: str, name: str, *arguments: object) -> object:
    handlers: dict[str, Callable[..., object]] = getattr(import_module(f"bpfas.asm.{module}"), table)
    return handlers[name](*arguments)
