"""Values that no type describes: bytes, and integers in the byte order of the object or machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfas.btf.codecs import EncodingError, shown, too_short
from bpfas.elf.constants import HOST_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.btf.codecs import Buffer
    from bpfas.elf.constants import ByteOrder


class Raw:
    """Bytes that nothing is known of. `remedy` is what may be done to have it known."""

    finish: Callable[[Any], Any] | None = None

    def __init__(self, size: int, order: ByteOrder = HOST_ORDER, remedy: str = "") -> None:
        self.size = size
        self.format = f"{size}s"
        self._order = order
        self._remedy = remedy

    def encode(self, value: Any) -> bytes:
        """Bytes as they are, an integer in as many bytes as there are."""
        if isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "_b_base_"):
            data = bytes(value)
            if len(data) != self.size:
                raise EncodingError(f"it has {len(data)} bytes, not {self.size}")
            return data
        if not isinstance(value, int):
            remedy = f"; {self._remedy}" if self._remedy else ""
            raise EncodingError(
                f"{shown(value)} is neither bytes nor an integer, and no type says what it is{remedy}"
            )
        try:
            return int.to_bytes(value, self.size, self._order.name_for_int, signed=value < 0)
        except OverflowError:
            raise EncodingError(f"{value} does not fit into {self.size} bytes") from None

    def decode(self, data: Buffer, at: int = 0) -> bytes:
        """The bytes at `at`."""
        if at + self.size > len(data):
            raise too_short("it", self.size, data, at)
        return bytes(data[at : at + self.size])
