"""Which declarations fit which definitions: libbpf's rules, on what clang makes of pairs of them.

Many pairs stand in two files, as many as a link tells of.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.link.limits import MOST_MESSAGES
from bpfas.link.linker import link
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.peer

# Declaration in one file, definition in the other, N standing for the name; and the fault, None where they fit.
FUNCTIONS = {
    "same": ("int N(int a);", "int N(int b) { return b; }", None),
    "qualified": ("int N(const int *a);", "int N(volatile int *a) { return *a; }", None),
    "typedefed": ("typedef int T1; T1 N(T1 a);", "int N(int a) { return a; }", None),
    "signedness": ("int N(unsigned a);", "int N(int a) { return a; }", None),
    "wider": ("int N(long a);", "int N(int a) { return a; }", "parameter 1 is `int` and `long`"),
    "fewer": ("int N(int a);", "int N(int a, int b) { return a + b; }", "it has 2 and 1 parameters"),
    "other_return": ("long N(void);", "int N(void) { return 1; }", "the return type is `int` and `long`"),
    "forward": (
        "struct s1; int N(struct s1 *p);",
        "struct s1 { int a; }; int N(struct s1 *p) { return p->a; }",
        None,
    ),
    "other_struct": (
        "struct s2; int N(struct s2 *p);",
        "struct s3 { int a; }; int N(struct s3 *p) { return p->a; }",
        "parameter 1 is `struct s3` and `struct s2`",
    ),
    "union_for_struct": (
        "union u1; int N(union u1 *p);",
        "struct u1 { int a; }; int N(struct u1 *p) { return p->a; }",
        "parameter 1 is `struct u1` and `union u1`",
    ),
    "pointer_for_number": (
        "int N(int *a);",
        "int N(long a) { return a; }",
        "parameter 1 is `long` and `int *`",
    ),
    "members_behind_pointers": (
        "struct s4 { long z; }; int N(struct s4 *p);",
        "struct s4 { int a, b; }; int N(struct s4 *p) { return p->a; }",
        None,
    ),
}
VARIABLES = {
    "number": ("extern int N;", "int N = 1;", None),
    "number_size": ("extern long N;", "int N = 1;", "it is `int` and `long`"),
    "open_array": ("extern int N[];", "int N[4] = {1};", None),
    "array_of_others": ("extern char N[];", "int N[4] = {1};", "an element of it is `int` and `char`"),
    "whole_struct": ("extern struct t1 { int a; long b; } N;", "struct t1 { int a; long b; } N = {1};", None),
    "struct_name": (
        "extern struct t2 { int a; } N;",
        "struct t3 { int a; } N = {1};",
        "it is `struct t3` and `struct t2`",
    ),
    "struct_members": (
        "extern struct t4 { int a; } N;",
        "struct t4 { int a, b; } N = {1};",
        "struct t4 has 2 and 1 members",
    ),
    "member_name": (
        "extern struct t5 { int a; } N;",
        "struct t5 { int b; } N = {1};",
        "struct t5 has a member b and a",
    ),
    "member_place": (
        "extern struct t6 { int a; long c; } N;",
        "struct t6 { int a; int c; } N = {1};",
        "member c of struct t6 is at bit 32 and at bit 64",
    ),
    "member_type": (
        "extern struct t7 { char c; } N;",
        "struct t7 { int c; } N = {1};",
        "member c of struct t7 is `int` and `char`",
    ),
    "enumeration": ("extern enum e1 { A1 } N;", "enum e1 { A1, B1 } N = B1;", None),
    "enum_name": ("extern enum e2 { A2 } N;", "enum e3 { A2, B2 } N = B2;", "it is `enum e3` and `enum e2`"),
    "pointed_at": ("extern struct q *N;", "struct q { int a; } *N = 0;", None),
    "floats": ("extern float N;", "double N = 1;", "it is `double` and `float`"),
    "function_for_variable": (
        "extern int N;",
        "int N(void) { return 1; }",
        "it is `int function_for_variable(void)` and `extern int function_for_variable`",
    ),
}
_MAP = 'struct {{ int (*type)[{type}]; int (*max_entries)[{size}]; {rest} }} N SEC(".maps");'


def _map(type_: int = 1, size: int = 4, rest: str = "int *key; long *value;") -> str:
    return _MAP.format(type=type_, size=size, rest=rest)


_INNER = "struct {name} {{ int (*type)[1]; int (*max_entries)[{size}]; int *key; int *value; }};"
_OUTER = 'struct {{ int (*type)[12]; int (*max_entries)[1]; int *key; struct {name} *values[]; }} N SEC(".maps");'
MAPS = {
    "map": (_map(), _map(), None),
    "attributes_in_another_order": (_map(), _map(rest="long *value; int *key;"), None),
    "map_type": (_map(), _map(type_=2), "type is 2 and 1"),
    "map_size": (_map(size=8), _map(), "max_entries is 4 and 8"),
    "map_flags": (
        _map(rest="int *key; long *value; int (*map_flags)[1];"),
        _map(),
        "map_flags is 0 and 1",
    ),
    "map_key": (_map(rest="unsigned *key; long *value;"), _map(), None),
    "map_value": (_map(rest="int *key; int *value;"), _map(), "the value is `long` and `int`"),
    "map_value_type": (
        _map(rest="int *key; struct v1 { int a, b; } *value;"),
        _map(),
        "the value is `long` and `struct v1`",
    ),
    "map_defaults": (_map(), _map(rest="int *key; long *value; int (*map_flags)[0]; int (*pinning)[0];"), None),
    "map_key_size_too": (_map(), _map(rest="int *key; long *value; int (*key_size)[4];"), None),
    "map_key_size_only": (
        _map(rest="int (*key_size)[4]; int (*value_size)[8];"),
        _map(),
        "the type of the key is given in one of them only",
    ),
    "map_key_size": (
        _map(rest="int (*key_size)[2]; int (*value_size)[8];"),
        _map(rest="int (*key_size)[4]; int (*value_size)[8];"),
        "key_size is 4 and 2",
    ),
    "map_attribute": (
        _map(),
        _map(rest="int *key; long *value; int (*strange)[1];"),
        "it is in .maps, but of the first, its attribute `int (*)[1] strange` is unknown",
    ),
    "map_in_map": (
        _INNER.format(name="i1", size=4) + _OUTER.format(name="i1"),
        _INNER.format(name="i1", size=4) + _OUTER.format(name="i1"),
        None,
    ),
    "inner_map": (
        _INNER.format(name="i2", size=8) + _OUTER.format(name="i2"),
        _INNER.format(name="i2", size=4) + _OUTER.format(name="i2"),
        "in the inner map, max_entries is 4 and 8",
    ),
}
ALL = {**FUNCTIONS, **VARIABLES, **MAPS}
_HEAD = '#define SEC(name) __attribute__((section(name), used))\nchar LICENSE[] SEC("license") = "GPL";\n'


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The whole message about each name that does not fit."""
    directory = tmp_path_factory.mktemp("compatibility")
    names = list(ALL)
    found: dict[str, str] = {}
    for begin in range(0, len(names), MOST_MESSAGES):
        found |= _errors_of(directory, names[begin : begin + MOST_MESSAGES])
    return found


def _errors_of(directory: Path, names: Sequence[str]) -> dict[str, str]:
    declarations, definitions, uses = [], [], []
    for name in names:
        declaration, definition, _ = ALL[name]
        declaration = re.sub(r"\bN\b", name, declaration)
        if name in MAPS:
            declaration = f"extern {declaration}" if "extern" not in declaration else declaration
            declaration = re.sub(r"extern (struct i\d \{.*?\};)\s*struct \{", r"\1 extern struct {", declaration)
        declarations.append(declaration)
        definitions.append(re.sub(r"\bN\b", name, definition))
        uses.append(f"sum += (long)&{name};")
    user = "\n".join(
        (_HEAD, *declarations, 'SEC("xdp") int prog(void *c) { long sum = 0;', *uses, "return sum; }")
    )
    objects = [
        _compiled(directory / "user.c", user),
        _compiled(directory / "lib.c", "\n".join((_HEAD, *definitions))),
    ]
    with pytest.raises(BpfasError) as raised:
        link([read_object(path.read_bytes(), path.name) for path in objects])
    found = {}
    for diagnostic in raised.value.diagnostics:
        match = re.match(r"conflicting types of (\w+): ", diagnostic.message)
        assert match, diagnostic.render()
        found[match[1]] = diagnostic.render()
    return found


def _compiled(source: Path, text: str) -> Path:
    source.write_text(text)
    output = source.with_suffix(".o")
    Peer.CLANG.run(
        "-w", "-target", "bpf", "-O2", "-g", "-c", source.name, "-o", output.name, directory=source.parent
    )
    return output


@pytest.mark.parametrize("name", ALL)
def test_a_declaration_and_its_definition(errors: dict[str, str], name: str) -> None:
    declaration, definition, fault = ALL[name]
    if fault is None:
        assert name not in errors
        return
    lines = errors[name].splitlines()
    assert lines[0] == f"error: conflicting types of {name}: {fault}"
    assert re.fullmatch(r">>> defined as `.+` in lib\.c:\d+ \(lib\.o:\(\S+\)\)", lines[1]), lines[1]
    # Clang tells in DWARF where variables are declared, but not functions.
    place = r"(user\.c:\d+ \(user\.o\)|user\.o, used at user\.c:\d+ \(user\.o:\(xdp\+0x[0-9a-f]+\)\))"
    assert re.fullmatch(rf">>> declared as `.+` in {place}", lines[2]), lines[2]
    assert lines[3] == ">>> make them the same, best by one declaration in a header that both include"
    assert len(lines) == 4, (declaration, definition)


def test_of_many_conflicts_the_first_are_shown(tmp_path: Path) -> None:
    names = [f"v{number}" for number in range(25)]
    definitions = "".join(f"int {name} = 1;\n" for name in names)
    uses = "".join(f"extern long {name};\nlong *use_{name}(void) {{ return &{name}; }}\n" for name in names)
    objects = [_compiled(tmp_path / "lib.c", definitions), _compiled(tmp_path / "user.c", uses)]
    with pytest.raises(BpfasError) as raised:
        link([read_object(path.read_bytes(), path.name) for path in objects])
    messages = [diagnostic.message for diagnostic in raised.value.diagnostics]
    assert [message.partition(":")[0] for message in messages] == [
        *(f"conflicting types of {name}" for name in names[:20]),
        "… and 5 more conflicting declarations",
    ]
