"""Which types of a program fit which types of a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind
from bpfas.diag import BpfasError
from bpfas.loader.core.compatible import types_compatible, types_match
from bpfas.loader.core.flavours import stem_of
from tests.btf.builders import Types

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("task_struct", "task_struct"),
        ("task_struct___old", "task_struct"),
        ("a___b___c", "a___b"),
        ("a____b", "a____b"),
        ("___b", "___b"),
        ("a___", "a___"),
        ("a___b____c", "a"),
        ("a___b___", "a"),
        ("", ""),
    ],
)
def test_a_flavour_begins_at_the_last_three_underscores_that_stand_alone(name: str, stem: str) -> None:
    assert stem_of(name) == stem


def fits(
    judge: Callable[..., bool], local: Callable[[Types], int], target: Callable[[Types], int] | None = None
) -> bool:
    """What `judge` says of two types, each made in a Btf of its own."""
    types, others = Types(), Types()
    others.floating("padding", 8)  # so that ids differ
    mine, other = local(types), (target or local)(others)
    return judge(types.read(), mine, others.read(), other)


def struct(*members: tuple[str, int], name: str = "s", kind: Kind = Kind.STRUCT) -> Callable[[Types], int]:
    """A struct of ints, each of a size."""

    def make(types: Types) -> int:
        fields = [(member, types.integer(f"int{size}", size), 0) for member, size in members]
        return types.struct(name, 64, fields, kind)

    return make


def pointer(target: Callable[[Types], int]) -> Callable[[Types], int]:
    return lambda types: types.pointer(target(types))


def function(*parameters: Callable[[Types], int]) -> Callable[[Types], int]:
    """A prototype that returns void."""
    return lambda types: types.prototype(0, [("", parameter(types)) for parameter in parameters])


def integer(size: int = 4, encoding: int = 0) -> Callable[[Types], int]:
    return lambda types: types.integer(f"i{size}", size, encoding)


def enumeration(*names: str, size: int = 4) -> Callable[[Types], int]:
    return lambda types: types.enum("e", [(name, number) for number, name in enumerate(names)], size)


def enumeration64(*names: str) -> Callable[[Types], int]:
    return lambda types: types.enum64("e", [(name, number) for number, name in enumerate(names)])


def array(element: Callable[[Types], int], nelems: int) -> Callable[[Types], int]:
    return lambda types: types.array(element(types), types.integer("index"), nelems)


def forward(name: str, is_union: bool = False) -> Callable[[Types], int]:
    return lambda types: types.forward(name, is_union)


def const(target: Callable[[Types], int]) -> Callable[[Types], int]:
    return lambda types: types.typedef("alias", types.refer(Kind.CONST, target(types)))


def void(_types: Types) -> int:
    return 0


UNION = struct(("a", 4), kind=Kind.UNION)


CASES = [
    (struct(("a", 4)), struct(("a", 4)), True, True),
    (struct(("a", 4)), struct(("b", 4)), True, False),
    (struct(("a", 4)), struct(("b", 8), ("a", 4)), True, True),
    (struct(("a", 4), ("b", 4)), struct(("a", 4)), True, False),
    (struct(("a", 4)), struct(("a", 8)), True, False),
    (struct(("a", 4)), struct(("a___new", 4), name="s___x"), True, True),
    (struct(("a", 4)), struct(("a", 4), name="other"), True, False),
    (struct(("a", 4)), UNION, False, False),
    (pointer(struct(("a", 4))), pointer(struct(("b", 8))), True, True),
    (pointer(struct(("a", 4))), pointer(struct(("a", 4), name="other")), True, False),
    (pointer(struct(("a", 4))), pointer(forward("s")), False, True),
    (pointer(struct(("a", 4))), pointer(forward("s", is_union=True)), False, False),
    (pointer(forward("s")), pointer(struct(("a", 4))), False, True),
    (pointer(forward("s")), pointer(UNION), False, False),
    (pointer(forward("s", is_union=True)), pointer(UNION), False, True),
    (pointer(forward("s")), pointer(forward("s")), True, True),
    (pointer(forward("s")), pointer(forward("s", is_union=True)), True, False),
    (forward("s"), struct(("a", 4)), False, False),
    (pointer(void), pointer(void), True, True),
    (pointer(void), pointer(integer()), False, False),
    (const(integer()), integer(), True, True),
    (integer(4), integer(8), True, False),
    (integer(4), integer(4, encoding=1), True, False),
    (enumeration("A"), enumeration("B", "A"), True, True),
    (enumeration("A___x"), enumeration("A"), True, True),
    (enumeration("A", "B"), enumeration("A"), True, False),
    (enumeration("A", "A___x"), enumeration("A"), True, False),
    (enumeration("A", size=8), enumeration64("A"), True, True),
    (enumeration("A"), enumeration64("A"), True, False),
    (enumeration("A"), integer(), False, False),
    (array(integer(), 3), array(integer(), 3), True, True),
    (array(integer(), 3), array(integer(), 4), True, False),
    (array(integer(), 3), array(enumeration("A"), 3), False, False),
    (function(integer(), pointer(void)), function(integer(), pointer(void)), True, True),
    (function(integer()), function(integer(), integer()), False, False),
    (function(integer()), function(pointer(void)), False, False),
    (pointer(function(integer(4))), pointer(function(integer(8))), True, False),
]


@pytest.mark.parametrize(("local", "target", "compatible", "match"), CASES, ids=map(str, range(len(CASES))))
def test_what_fits_what(
    local: Callable[[Types], int], target: Callable[[Types], int], compatible: bool, match: bool
) -> None:
    assert fits(types_compatible, local, target) is compatible
    assert fits(types_match, local, target) is match


def test_floats_fit_nothing() -> None:
    """As libbpf has it."""
    local = Types.floating
    assert not fits(types_compatible, local)
    assert not fits(types_match, local)


def test_the_type_returned_counts() -> None:
    def returning(size: int, kind: Kind) -> Callable[[Types], int]:
        return lambda types: types.prototype(
            types.integer("i", size) if kind is Kind.INT else types.pointer(0), []
        )

    assert fits(types_compatible, returning(4, Kind.INT), returning(8, Kind.INT))
    assert not fits(types_match, returning(4, Kind.INT), returning(8, Kind.INT))
    assert not fits(types_compatible, returning(4, Kind.INT), returning(8, Kind.PTR))


def endless(types: Types) -> int:
    """A function that takes a pointer to itself, which C cannot say."""
    return types.prototype(0, [("f", types.count + 2)]) and types.pointer(types.count) - 1


def test_types_that_refer_to_themselves_come_to_an_end() -> None:
    assert fits(types_compatible, endless)
    assert fits(types_match, endless)


def test_types_nested_too_deep_are_an_error() -> None:
    def deep(types: Types) -> int:
        inner = types.integer()
        for level in range(200):
            inner = types.struct(f"s{level}", 4, [("a", inner, 0)])
        return inner

    with pytest.raises(BpfasError, match="nests deeper than 100 levels"):
        fits(types_match, deep)
    assert fits(types_compatible, deep)


def test_many_members_of_one_name_are_compared_once() -> None:
    def bushy(types: Types) -> int:
        inner = types.integer()
        for level in range(40):
            inner = types.struct(f"s{level}", 4, [("", inner, 0)] * 4)
        return inner

    assert fits(types_match, bushy)
