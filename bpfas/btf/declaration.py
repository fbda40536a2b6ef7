"""Types as C text, for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf


def declaration(btf: Btf, type_id: int) -> str:
    """The C text of a VAR, a FUNC or a type."""
    return f"{btf.kind(type_id).name} {btf.name(type_id)}"
