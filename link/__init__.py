"""The static linker: object files to one object file.

`bpfas` offers a function of the same name, and importing the package puts it in the place of that: so the package
can be called as the function can.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """What `bpfas.api.link` gives."""
        return importlib.import_module("bpfas.api").link(*inputs, **options)


sys.modules[__name__].__class__ = _CallableModule
