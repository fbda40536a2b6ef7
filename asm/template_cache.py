"""Keeps the templates of statements from one run to the next, so that shapes seen before need no Lark.

They are what `bpfas.asm.parser` has made of Lark's parse trees, by shape, as JSON in the user's cache directory.
They serve only the grammar and the modules that have made them, to the byte; a damaged file is found out by the
hash of its contents, and made anew. They are kept there, and not made when this is packaged, since blanks are part
of a shape: no list would have the shapes of everybody's sources.
"""

from __future__ import annotations

import json
import os
from dataclasses import fields
from functools import cached_property
from importlib.util import source_hash
from typing import TYPE_CHECKING, Any

import bpfas
from bpfas.asm.statement import (
    Assignment,
    Binary,
    ByteInString,
    Constant,
    Directive,
    Float,
    HelperCall,
    InstructionStatement,
    Label,
    LocalReference,
    MapReference,
    Number,
    Omitted,
    Register,
    SectionName,
    String,
    SymbolName,
    Template,
    TypeName,
    Unary,
)
from bpfas.user_cache import read_cached, write_cached

if TYPE_CHECKING:
    from collections.abc import Callable

_MAKERS = (
    "isa.py",
    "asm/kernel_text.py",
    "asm/parser.py",
    "asm/shape.py",
    "asm/statement.py",
    "asm/template_cache.py",
    "grammar/__init__.py",
    "grammar/bpf.lark",
)
"""The files that say what the template of a shape is, and how it is kept."""

_MOST_TEMPLATES = 1000
_LONGEST_SHAPE = 200
"""Characters. Both limits keep the file so small that reading it takes no time to speak of."""


_NODES = (
    *(Assignment, Directive, InstructionStatement, Label, Template),
    *(Binary, Constant, Float, LocalReference, Number, SymbolName, Unary),
    *(ByteInString, HelperCall, MapReference, Omitted, Register, SectionName, String, TypeName),
)
_CLASSES: dict[str, Callable[..., object]] = {
    frozenset.__name__: frozenset,
    **{node.__name__: node for node in _NODES},
}


class TemplateCache:
    """Templates by shape: those of earlier runs, from the first question on, and those of this one."""

    def __init__(self) -> None:
        self._new: dict[str, Template] = {}

    @cached_property
    def _file_name(self) -> str | None:
        """None where the files are not there, as in a program packed into one file: nothing is kept then."""
        try:
            makers = b"".join(map(_contents, _MAKERS))
        except OSError:
            return None
        return f"templates-{source_hash(makers).hex()}.json"

    @cached_property
    def _known(self) -> dict[str, Any]:
        """What the file has, each template as `_data` makes it."""
        contents = read_cached(self._file_name) if self._file_name else None
        check, _, text = (contents or b"").partition(b"\n")
        known: dict[str, Any] = json.loads(text) if check == _check(text) else {}
        return known

    def get(self, shape: str) -> Template | None:
        """The template of a shape that an earlier run has added; None if there is none."""
        template = _value(self._known.get(shape))
        assert template is None or isinstance(template, Template)
        return template

    def add(self, shape: str, template: Template) -> None:
        """Remember the template of a shape that no earlier run has known."""
        if len(shape) <= _LONGEST_SHAPE:
            self._new[shape] = template

    def save(self) -> None:
        """Keep what was added for later runs, if that is possible; of too many the newest."""
        if self._new and self._file_name:
            new = {shape: _data(template) for shape, template in self._new.items()}
            kept = list({**self._known, **new}.items())[-_MOST_TEMPLATES:]
            text = json.dumps(dict(kept), separators=(",", ":")).encode()
            write_cached(self._file_name, _check(text) + b"\n" + text)


def _contents(name: str) -> bytes:
    with open(os.path.join(os.path.dirname(bpfas.__file__), name), "rb") as file:
        return file.read()


def _check(text: bytes) -> bytes:
    return source_hash(text).hex().encode()


def _data(value: object) -> object:
    """A template, or a part of it, as JSON can say it: a node is an object of its class and its fields."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [_data(item) for item in value]
    if isinstance(value, frozenset):
        return {frozenset.__name__: [sorted(value)]}
    assert isinstance(value, _NODES)
    return {type(value).__name__: [_data(getattr(value, field.name)) for field in fields(value)]}


def _value(data: Any) -> Any:
    """What `_data` has made `data` of."""
    if isinstance(data, list):
        return tuple(map(_value, data))
    if isinstance(data, dict):
        [(name, values)] = data.items()
        return _CLASSES[name](*map(_value, values))
    return data
