"""Random valid BTF: few names and small sizes, so that much of it is equal, or nearly."""

from __future__ import annotations

from hypothesis import strategies as st

from bpfas.btf.kinds import Kind
from tests.btf.builders import Types

NAMES = ("a", "b", "longer_than_eight")
_SIZE = 64

_VALUE_KINDS = ("int", "struct", "union", "enum", "fwd", "typedef", "modifier", "pointer", "array", "prototype")
_ENDS_OF_POINTERS = ("int", "struct", "union", "enum", "fwd", "prototype")
_OTHER_KINDS = ("func", "var", "tag", "datasec")


@st.composite
def types(draw: st.DrawFn, max_types: int = 14, names: tuple[str, ...] = NAMES) -> Types:
    """The types of one object. What contains another by value comes behind it.

    Pointers lead anywhere, but not through pointers alone to themselves.
    """
    made = Types()
    kinds = draw(st.lists(st.sampled_from(_VALUE_KINDS), min_size=2, max_size=max_types))
    others = draw(st.lists(st.sampled_from(_OTHER_KINDS), max_size=4))
    name = st.sampled_from(names)
    optional = st.sampled_from(("", *names))
    anywhere = st.integers(1, len(kinds) + 1)
    ends = [number for number, kind in enumerate(kinds, 2) if kind in _ENDS_OF_POINTERS]
    made.integer()
    declared: set[int] = set()
    for kind in kinds:
        before = st.sampled_from([type_id for type_id in range(1, made.count + 1) if type_id not in declared])
        match kind:
            case "int":
                made.integer(draw(name), draw(st.sampled_from((1, 4))))
            case "struct" | "union":
                # Members are pointers to anything, which come in pairs behind all types, or values.
                members = draw(st.lists(st.tuples(optional, before, st.just(0)), max_size=3))
                made.struct(draw(optional), _SIZE, members, Kind.UNION if kind == "union" else Kind.STRUCT)
            case "enum":
                made.enum(draw(optional), draw(st.lists(st.tuples(name, st.integers(0, 1)), max_size=2)))
            case "fwd":
                declared.add(made.forward(draw(name), draw(st.booleans())))
            case "typedef" | "modifier":
                target = draw(st.integers(1, made.count))
                if kind == "typedef":
                    made.typedef(draw(name), target)
                else:
                    made.refer(draw(st.sampled_from((Kind.CONST, Kind.VOLATILE))), target)
                if target in declared:
                    declared.add(made.count)
            case "pointer":
                made.pointer(draw(st.sampled_from([*range(made.count + 1), *ends])))
            case "array":
                made.array(draw(before), 1, draw(st.integers(0, 1)))
            case "prototype":
                made.prototype(draw(anywhere), draw(st.lists(st.tuples(name, anywhere), max_size=2)))
    prototypes = [made.prototype(0, ())]
    functions: list[int] = []
    variables: list[int] = []
    for kind in others:
        match kind:
            case "func":
                functions.append(made.func(draw(name), draw(st.sampled_from(prototypes)), draw(st.integers(0, 2))))
            case "var":
                variables.append(made.var(draw(name), draw(anywhere)))
            case "tag" if functions or variables:
                made.tag(draw(name), draw(st.sampled_from(functions + variables)))
            case "datasec":
                made.datasec(draw(name), [(variable, 0, 4) for variable in variables])
    return made
