"""Bytes as the text of Python."""

from __future__ import annotations

import binascii

from bpfas.loader.gen.deflate import compressed

_SHORT = 64
_LINE = 108


def packed_text(data: bytes) -> str:
    """A string in base64 of compressed bytes, what `unpacked` of parts/loader.py takes."""
    text = binascii.b2a_base64(compressed(data), newline=False).decode()
    return f'"{text}"' if len(text) <= _SHORT else '"""\\\n' + "\n".join(_lines(text)) + '\n"""'


def bytes_expression(data: bytes) -> str:
    """An expression for `data`: short as they are, zeros by their number, others compressed."""
    if not any(data):
        return f"bytes({len(data)})"
    if len(data) <= _SHORT:
        return f'bytes.fromhex("{data.hex()}")'
    return f"unpacked(\n    {packed_text(data)}\n)"


def _lines(text: str) -> list[str]:
    return [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
