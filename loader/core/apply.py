from typing import NamedTuple
class CoreFailure(NamedTuple):
    instruction: int
    words: str
def apply_core(code, relocations, resolver, place, diagnostics):
    return []
