"""The cases of the loop: each made from its number and the seed alone, so that a single one can be repeated."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.loader.hostile.corpus import all_objects, kernel_btf
from tests.loader.hostile.damage import Target, words

if TYPE_CHECKING:
    from tests.loader.hostile.trial import Bench

_KCONFIG = 'CONFIG_HZ=100\nCONFIG_BPF_SMALL=-7\nCONFIG_LOG_BUF_SHIFT=18\nCONFIG_DEFAULT_HOSTNAME="a name"\n'
_CHARACTERS = '=\n"#y mn0x9-\0\udcff\N{SNOWMAN}C_'


class Cases:
    """All cases of a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._refused: dict[str, frozenset[str]] = {}
        self._objects = {each.name: Target.of_object(each.data) for each in all_objects()}
        btf = kernel_btf()
        self._types = Target(btf, {"header": words(0, 24), "types": words(24, len(btf) - 24)})
        self._with_types = [name for name, each in self._objects.items() if ".BTF" in each.groups]

    def run_undamaged(self, bench: Bench) -> None:
        """Try all objects as they are, to know what the kernel does not take of them anyway."""
        self._refused = {name: bench.refused_programs(target.data) for name, target in self._objects.items()}

    def run(self, number: int, bench: Bench) -> str:
        """Try a case; gives what it was, and what became of it."""
        chance = random.Random(f"{self._seed}:{number}")  # noqa: S311
        name = chance.choice(list(self._objects))
        target = self._objects[name]
        without = self._refused.get(name, ()) if chance.randrange(8) else ()
        match chance.randrange(20):
            case 0:
                name = chance.choice(self._with_types)
                btf = self._types.any_damage(chance)
                return f"types for {name}: {bench.trial_of_types(self._objects[name].data, btf)}"
            case 1:
                text = _damaged_text(chance)
                return f"configuration for {name}: {bench.trial(target.data, text, without)}"
            case _:
                return f"{name}: {bench.trial(target.any_damage(chance), without=without)}"

    def object(self, number: int) -> bytes:
        """The object of a case, to look at."""
        chance = random.Random(f"{self._seed}:{number}")  # noqa: S311
        target = self._objects[chance.choice(list(self._objects))]
        chance.randrange(8)
        return target.any_damage(chance) if chance.randrange(20) > 1 else target.data


def _damaged_text(chance: random.Random) -> str:
    text = list(_KCONFIG)
    for _ in range(chance.choice((1, 2, 5, 20))):
        text[chance.randrange(len(text))] = chance.choice(_CHARACTERS) * chance.choice((1, 1, 40))
    return "".join(text)
