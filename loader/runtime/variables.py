"""Global variables of what is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.spec import Image


class Variables:
    """By name."""

    def __init__(self, maps: Mapping[str, Map], image: Image) -> None:
        self.maps = maps
        self.image = image

    def close(self) -> None:
        """Close."""
