"""Kernels put together by hand: vmlinux and modules with a few types."""

from __future__ import annotations

from bpfas.elf.constants import ByteOrder
from bpfas.loader.kernel.types import KernelTypes, ModuleTypes
from tests.btf.builders import Types, section


class SplitTypes(Types):
    """Types of a module, whose ids and strings go on where those of vmlinux end."""

    def __init__(self, base: Types) -> None:
        super().__init__()
        self.count = base.count
        self.texts = {b"": 0, **base.texts}
        self._base_end = self._end = base._end

    def data(self, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
        """The module's own part."""
        whole = super().data(order)
        types_end = len(whole) - len(self.strings)
        own = [text for text, offset in self.texts.items() if offset >= self._base_end]
        return section(whole[24:types_end], b"\0".join((*own, b"")), order)


def vmlinux(types: Types) -> KernelTypes:
    return KernelTypes("vmlinux", types.read("vmlinux"))


def module(name: str, types: SplitTypes, base: KernelTypes) -> KernelTypes:
    return ModuleTypes(name, types.data(), base, f"/sys/kernel/btf/{name}")
