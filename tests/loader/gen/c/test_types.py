"""Types that have no names a compiler takes, or none at all, are declared so that they lie as BTF says."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind
from bpfas.loader import open_image
from bpfas.loader.gen.c.names import Words
from bpfas.loader.gen.c.types import TypeText
from tests.btf.builders import Types
from tests.loader.gen.c.support import COMPILERS, run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.btf.btf import Btf

SIMPLE = (
    "char",
    "signed char",
    "short",
    "int",
    "unsigned",
    "long",
    "unsigned long long",
    "_Bool",
    "void *",
    "float",
)
FIELDS = ("int", "unsigned", "unsigned char", "long", "short")
BITS = {"int": 32, "unsigned": 32, "unsigned char": 8, "long": 64, "short": 16}
SHAPES = 400


class Shapes:
    """Structs and unions without names, made up of everything that lies in memory in its own way."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"m{self.count}"

    def members(self, depth: int) -> Iterator[str]:
        for _ in range(self.random.randint(1, 6)):
            kind = self.random.randrange(10)
            if kind < 4 or (kind > 7 and not depth):
                aligned = self.random.choice(("", "", "", "", " __attribute__((aligned(16)))"))
                yield f"{self.random.choice(SIMPLE)} {self.name()}{aligned};"
            elif kind < 5:
                yield f"{self.random.choice(SIMPLE)} {self.name()}[{self.random.randint(1, 5)}][2];"
            elif kind < 8:
                base = self.random.choice(FIELDS)
                yield f"{base} {self.name()} : {self.random.randint(1, BITS[base])};"
            else:
                name = self.random.choice((self.name(), ""))
                yield f"{self.body(depth - 1)} {name};"

    def body(self, depth: int) -> str:
        packed = self.random.choice(("", "", "", " __attribute__((packed))"))
        keyword = self.random.choice(("struct", "struct", "union"))
        return f"{keyword}{packed} {{ {' '.join(self.members(depth))} }}"


def places(btf: Btf, type_id: int, path: str, offset: int = 0) -> Iterator[tuple[str, int, int]]:
    """The members by their paths, with their offsets in bits and (of bit-fields) sizes in bits."""
    for member in btf.members(type_id):
        inner = btf.without_qualifiers(member.type_id)
        at = offset + member.bit_offset
        name = f"{path}.{member.name}" if member.name else path
        if member.name:
            yield name.removeprefix("."), at, member.bit_size
        if btf.kind(inner) in (Kind.STRUCT, Kind.UNION):
            yield from places(btf, inner, name, at)


CHECK = """
#include <stddef.h>
#include <stdio.h>
#include <string.h>
static int has_bits(const void *value, size_t size, size_t offset, size_t bits)
{
    for (size_t at = 0; at < 8 * size; at++)
        if ((((const unsigned char *)value)[at / 8] >> at % 8 & 1) != (at >= offset && at < offset + bits))
            return 0;
    return 1;
}
#define CHECK_BITS(variable, path, offset, bits) \\
    memset(&variable, 0, sizeof(variable)); \\
    variable.path = -1; \\
    if (!has_bits(&variable, sizeof(variable), offset, bits)) puts(#variable "." #path);
"""


@pytest.mark.peer
def test_members_lie_where_they_do_in_the_object(compile_c: Callable[..., str], tmp_path: Path) -> None:
    shapes = Shapes(9)
    source = "".join(f"{shapes.body(3)} v{number};\n" for number in range(SHAPES))
    source += 'SEC("socket") int p(struct __sk_buff *skb) { return 0; }'
    image = open_image(compile_c(source, "-g", "-Wno-everything"))
    btf = image.types
    assert btf is not None
    words = Words("app")
    types = TypeText(btf, words)
    lines, checks = [], []
    for variable in image.maps[".bss"].variables:
        declaration = types.declare(variable.type_id, variable.name, 0)
        assert declaration
        lines += [
            f"{declaration};",
            f'_Static_assert(sizeof({variable.name}) == {variable.size}, "{variable.name}");',
        ]
        for path, offset, bits in places(btf, variable.type_id, ""):
            place = f"offsetof(__typeof__({variable.name}), {path})"
            if bits:
                checks.append(f"CHECK_BITS({variable.name}, {path}, {offset}, {bits})")
            else:
                lines.append(f'_Static_assert({place} == {offset // 8}, "{variable.name}.{path}");')
    assert len(lines) > 4 * SHAPES
    assert len(checks) > SHAPES
    main = ["int main(void) {", *checks, "return 0;", "}", ""]
    (tmp_path / "main.c").write_text("\n".join([CHECK, words.definitions(), *lines, *main]))
    for compiler in ("gcc as GNU C", "clang as C11"):
        tool, options = COMPILERS[compiler]
        tool.run(*options, "main.c", "-o", "main", directory=tmp_path)
        assert run_program(tmp_path / "main") == []


def declared(types: Types, type_id: int, name: str = "x") -> str | None:
    words = Words("app")
    return TypeText(types.read(), words).declare(type_id, name, 0)


def test_integers_of_other_languages() -> None:
    types = Types()
    unsigned, signed = types.integer("u16", 2, 0), types.integer("isize", 8)
    assert declared(types, unsigned) == "__u16 x"
    assert declared(types, signed) == "__s64 x"
    assert declared(types, types.integer("unsigned long", 8, 0)) == "unsigned long x"
    assert declared(types, types.integer("long long unsigned int", 8, 0)) == "long long unsigned int x"


def test_integers_whose_names_say_another_size() -> None:
    types = Types()
    assert declared(types, types.integer("int", 8)) == "__s64 x"
    assert declared(types, types.integer("int int", 4)) == "__s32 x"
    assert declared(types, types.integer("signed unsigned", 4)) == "__s32 x"
    assert declared(types, types.integer("unsigned\nint", 4, 0)) == "unsigned int x"


def test_names_that_c_does_not_take() -> None:
    types = Types()
    number = types.integer()
    option = types.struct("Option<u32>", 4, [("a", number, 0)])
    assert declared(types, option) == "struct {\n\tint a;\n} x"
    assert declared(types, types.typedef("a::b", number)) == "int x"
    assert declared(types, types.typedef("int", number)) == "int x"
    assert declared(types, types.pointer(types.forward("{impl#0}"))) == "void *x"


def test_members_with_the_names_of_keywords() -> None:
    types = Types()
    number = types.integer()
    struct = types.struct("", 8, [("int", number, 0), ("int_", number, 32)])
    assert declared(types, struct) == "struct {\n\tint int_;\n\tint int__2;\n} x"


def test_types_without_end() -> None:
    """What points to itself without a name is made up; nothing depends on what pointers point to."""
    types = Types()
    types.struct("", 8, [("next", 2, 0)])
    types.pointer(1)
    text = declared(types, 1)
    assert text is not None
    assert "void *next" in text
    assert len(text) < 10000


def test_what_has_no_values() -> None:
    types = Types()
    assert declared(types, types.forward("s")) == "struct s x"
    assert declared(types, types.struct("", 0, [])) is None
    assert declared(types, types.enum("", [])) is None
    assert declared(types, types.pointer(types.struct("", 0, []))) == "void *x"
