from dataclasses import dataclass
from typing import Any
@dataclass
class StructOpsValue:
    programs: dict[str, Any]
    owner: Any = None
    value_type: int = 0
    value_size: int = 0
def resolve_struct_ops(*a: Any) -> StructOpsValue: raise NotImplementedError
