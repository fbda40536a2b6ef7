"""The static linker: object files to one object file.

The package is called as well: `bpfas.link(…)` is `bpfas.api.link`, and this module, once something has imported it.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class _CalledModule(types.ModuleType):
    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return importlib.import_module("bpfas.api").link(*inputs, **options)


sys.modules[__name__].__class__ = _CalledModule
