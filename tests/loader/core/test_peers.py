"""CO-RE as libbpf does it: the same instructions, or an error of both."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.type_files import running_types
from tests.btf.builders import Types
from tests.loader.core.relocated import (
    compile_kernel,
    compile_programs,
    compile_runner,
    read_core,
    relocated,
    relocated_by_libbpf,
    relocated_for,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.peer, pytest.mark.kernel, pytest.mark.any_kernel]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_runner(tmp_path_factory.mktemp("runner"))


LOCAL = """
struct in { int x; int y; };
enum color { RED, GREEN = 5, BLUE___local = 9 };
enum wide { WIDE_A = 1, WIDE_B = 0x123456789abLL };
enum minus { MINUS_A = -3, MINUS_B = 4 };
struct object {
    int plain; u32 unsigned_one; u64 long_one; s64 signed_long; void *pointer; struct in in; struct in ins[4];
    char name[16]; u8 bits_a:3; u8 bits_b:5; u32 bits_c:17; s32 bits_d:9; u64 bits_e:33; bool flag; char c;
    union { int choice_a; u64 choice_b; }; struct { int anonymous; struct { int deeper; }; };
    enum color color; int matrix[3][4]; struct object *next; int (*callback)(int); float real; double wide_real;
    int last[];
};
struct object___other { int only_in_flavour; int plain; };
struct absent { int x; };
union both { int a; u64 b; };
typedef struct { int t; } typed_t;
typedef int number_t;
typedef int (*function_t)(int, void *);
struct only_declared;
"""
FIELDS = [
    "plain",
    "unsigned_one",
    "long_one",
    "signed_long",
    "pointer",
    "in.x",
    "in.y",
    "ins[2].y",
    "name[3]",
    "name",
    "bits_a",
    "bits_b",
    "bits_c",
    "bits_d",
    "bits_e",
    "flag",
    "c",
    "choice_a",
    "choice_b",
    "anonymous",
    "deeper",
    "color",
    "matrix[1][2]",
    "matrix[2]",
    "next",
    "callback",
    "real",
    "last[3]",
    "last",
]
LOADED = [
    "plain",
    "unsigned_one",
    "long_one",
    "signed_long",
    "pointer",
    "in.y",
    "ins[2].y",
    "name[3]",
    "flag",
    "c",
    "choice_a",
    "choice_b",
    "anonymous",
    "deeper",
    "color",
    "matrix[1][2]",
    "last[3]",
]
BIT_FIELDS = ["bits_a", "bits_b", "bits_c", "bits_d", "bits_e", "plain", "c", "flag"]
TYPES = [
    "struct object",
    "struct object___other",
    "struct absent",
    "union both",
    "typed_t",
    "number_t",
    "function_t",
]
ENUMERATORS = [
    ("enum color", "GREEN"),
    ("enum color", "BLUE___local"),
    ("enum wide", "WIDE_A"),
    ("enum wide", "WIDE_B"),
    ("enum minus", "MINUS_A"),
]


def _bodies() -> dict[str, str]:
    it = "struct object *it = ctx; "
    bodies = {}
    for field in FIELDS:
        bodies[f"offset_{field}"] = f"{it} return __builtin_preserve_field_info(it->{field}, 0);"
        bodies[f"exists_{field}"] = f"{it} return bpf_core_field_exists(it->{field});"
    for field in LOADED:
        bodies[f"size_{field}"] = f"{it} return bpf_core_field_size(it->{field});"
        bodies[f"load_{field}"] = f"{it} return (long)it->{field};"
        bodies[f"store_{field}"] = f"{it} it->{field} = (typeof(it->{field}))(long)ctx; return 0;"
        bodies[f"constant_{field}"] = f"{it} it->{field} = (typeof(it->{field}))7; return 0;"
        bodies[f"read_{field}"] = f"{it} return (long)BPF_CORE_READ(it, next, {field});"
    for field in BIT_FIELDS:
        bodies[f"signed_{field}"] = f"{it} return __builtin_preserve_field_info(it->{field}, 3);"
        bodies[f"bits_{field}"] = f"{it} return BPF_CORE_READ_BITFIELD(it, {field});"
        bodies[f"probed_{field}"] = f"{it} return BPF_CORE_READ_BITFIELD_PROBED(it, {field});"
    for name in TYPES:
        for what in ("type_exists", "type_size", "type_id_local", "type_id_kernel", "type_matches"):
            bodies[f"{what}_{name}"] = f"return bpf_core_{what}({name});"
    for enumeration, name in ENUMERATORS:
        bodies[f"value_{name}"] = f"return bpf_core_enum_value({enumeration}, {name});"
        bodies[f"has_{name}"] = f"return bpf_core_enum_value_exists({enumeration}, {name});"
    bodies["flavour"] = "struct object___other *it = ctx; return it->only_in_flavour + it->plain;"
    bodies["absent"] = "struct absent *it = ctx; return it->x + bpf_core_field_exists(it->x);"
    bodies["of_typedef"] = "typed_t *it = ctx; return it->t;"
    bodies["later_element"] = "struct object *it = ctx; return it[3].in.y;"
    return bodies


ALIKE = LOCAL.replace("___local", "").replace("struct object___other { int only_in_flavour; int plain; };", "")
KERNELS = {
    "alike": ALIKE,
    "moved": ALIKE.replace("struct object {", "struct object { u64 before[5]; char odd;"),
    "moved far": ALIKE.replace("struct object {", "struct object { u64 before[5000];"),
    "packed": ALIKE.replace("int last[];\n}", "int last[];\n} __attribute__((packed))"),
    "resized": ALIKE.replace("int plain;", "u64 plain;")
    .replace("u32 unsigned_one", "u16 unsigned_one")
    .replace("u64 long_one", "u8 long_one")
    .replace("s64 signed_long", "s32 signed_long")
    .replace("bool flag", "u32 flag")
    .replace("char c;", "u16 c;")
    .replace("char name[16]", "u16 name[8]"),
    "bit-fields wider": ALIKE.replace("bits_a:3", "bits_a:7").replace("u32 bits_c:17", "u64 bits_c:40"),
    "bit-fields no more": ALIKE.replace("bits_a:3", "bits_a")
    .replace("bits_d:9", "bits_d")
    .replace("bits_e:33", "bits_e"),
    "fields become bit-fields": ALIKE.replace("int plain;", "int plain:20;").replace("bool flag", "bool flag:1"),
    "signs": ALIKE.replace("u8 bits_a", "s8 bits_a")
    .replace("s32 bits_d", "u32 bits_d")
    .replace("int plain", "u32 plain"),
    "without": ALIKE.replace("int plain;", "").replace("enum color color;", "").replace("bits_a:3", ":3"),
    "other sorts": ALIKE.replace("int plain;", "void *plain;")
    .replace("void *pointer", "u64 pointer")
    .replace("struct in in;", "int in;")
    .replace("struct in ins[4]", "struct in *ins")
    .replace("float real", "double real"),
    "nested": ALIKE.replace(
        "int plain;", "struct { u64 pad; union { struct { u8 w[3]; int plain; }; u64 q; }; };"
    ),
    "short arrays": ALIKE.replace("name[16]", "name[2]")
    .replace("matrix[3][4]", "matrix[4][2]")
    .replace("ins[4]", "ins[3]"),
    "flexible no more": ALIKE.replace("int last[];", "int last[5]; int after;"),
    "other enumerations": ALIKE.replace("GREEN = 5", "GREEN = 0x7fffffff")
    .replace("WIDE_B = 0x123456789abLL", "WIDE_B = 2")
    .replace("MINUS_A = -3, ", ""),
    "wider enumerations": ALIKE.replace("GREEN = 5", "GREEN = 0x7ffffffffLL").replace(
        "MINUS_A = -3", "MINUS_A = -3LL<<40"
    ),
    "union and struct": ALIKE.replace("union both {", "struct both {"),
    "typedefs of others": ALIKE.replace("typedef int number_t", "typedef u64 number_t").replace(
        "(int, void *);", "(int);"
    ),
    "flavours": ALIKE.replace("struct absent {", "struct absent___v1 {"),
    "nothing": "struct unrelated { int x; };",
}


@pytest.mark.parametrize("name", KERNELS)
def test_all_kinds_for_kernels_with_other_types(tmp_path: Path, runner: Path, name: str) -> None:
    both = "struct both" if name == "union and struct" else "union both"
    roots = [] if name == "nothing" else ["struct object", both, "typed_t", "number_t", "function_t"]
    roots += [root for root in ("enum color", "enum wide", "enum minus") if roots]
    roots += ["struct absent___v1" if name == "flavours" else "struct absent"] if roots else ["struct unrelated"]
    kernel = compile_kernel(tmp_path, KERNELS[name], roots)
    compare(tmp_path, runner, LOCAL, _bodies(), kernel)


def compare(folder: Path, runner: Path, types: str, bodies: Mapping[str, str], kernel: Path) -> None:
    """One object of the programs that are taken; and one for each other, for libbpf takes all or nothing."""
    bodies = {_identifier(name): body for name, body in bodies.items()}
    refused = set(relocated(compile_programs(folder, types, bodies), kernel).errors)
    taken = {name: body for name, body in bodies.items() if name not in refused}
    if taken:
        path = compile_programs(folder, types, taken)
        ours, theirs = relocated(path, kernel), relocated_by_libbpf(runner, path, kernel)
        assert not ours.errors
        assert theirs is not None, "libbpf refuses what we take"
        assert sorted(ours.instructions) == sorted(theirs)
        for name, code in theirs.items():
            assert ours.instructions[name].hex(" ", 8) == code.hex(" ", 8), bodies[name]
    for name in refused:
        path = compile_programs(folder, types, {name: bodies[name]})
        assert relocated_by_libbpf(runner, path, kernel) is None, f"libbpf takes {bodies[name]}"


def _identifier(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)


KERNEL_LOCAL = """
struct mm_struct; struct nothing_such { int x; };
struct task_struct { int pid; int tgid; struct task_struct *parent; char comm[16]; u64 start_time;
    unsigned sched_reset_on_fork:1; struct mm_struct *mm; struct { int not_there; }; u32 __state;
    u8 in_iowait:1; };
struct task_struct___old { long state; };
struct sk_buff { unsigned int len; u8 pkt_type:3; u8 ip_summed:2; u64 tstamp; u16 protocol; };
struct file { unsigned int f_flags; };
struct net { struct { int ifindex; } ns; };
enum pid_type { PIDTYPE_PID, PIDTYPE_SID = 77, PIDTYPE_NONE };
enum bpf_link_type___mine { BPF_LINK_TYPE_XDP___mine = 77 };
typedef int pid_t;
union bpf_attr___mine { int x; };
"""
KERNEL_BODIES = {
    "task": "struct task_struct *it = ctx; return BPF_CORE_READ(it, parent, parent, pid) + it->comm[3];",
    "bits": "struct task_struct *it = ctx; return BPF_CORE_READ_BITFIELD_PROBED(it, sched_reset_on_fork)"
    " + BPF_CORE_READ_BITFIELD(it, in_iowait);",
    "missing": "struct task_struct *it = ctx; return it->not_there + bpf_core_field_exists(it->not_there);",
    "flavour": "struct task_struct___old *it = ctx; struct task_struct *new = ctx;"
    " return bpf_core_field_exists(it->state) ? it->state : new->__state;",
    "packet": "struct sk_buff *it = ctx; return it->len + it->protocol + it->tstamp"
    " + BPF_CORE_READ_BITFIELD(it, ip_summed);",
    "types": "return bpf_core_type_exists(struct task_struct) + bpf_core_type_size(struct sk_buff)"
    " + bpf_core_type_id_kernel(struct task_struct) + bpf_core_type_matches(struct task_struct)"
    " + bpf_core_type_size(pid_t) + bpf_core_type_exists(struct nothing_such)"
    " + bpf_core_type_size(union bpf_attr___mine);",
    "enums": "return bpf_core_enum_value(enum pid_type, PIDTYPE_SID) +"
    " bpf_core_enum_value(enum bpf_link_type___mine, BPF_LINK_TYPE_XDP___mine)"
    " + bpf_core_enum_value_exists(enum pid_type, PIDTYPE_NONE);",
    "nothing": "struct nothing_such *it = ctx; return it->x;",
}


def test_the_running_kernel(tmp_path: Path, runner: Path) -> None:
    types = running_types()
    if types is None:
        pytest.skip("the kernel has no BTF")
    path = compile_programs(tmp_path, KERNEL_LOCAL, KERNEL_BODIES)
    ours = relocated_for(read_core(path), DescribedKernel(types))
    assert not ours.errors
    assert ours.instructions == relocated_by_libbpf(runner, path)


def test_a_kernel_with_pointers_of_32_bits(tmp_path: Path, runner: Path) -> None:
    kernel = Types()
    kernel.integer("long unsigned int", 4, 0)
    short, character = kernel.integer("int", 4), kernel.integer("char", 1, 1)
    pointer = kernel.pointer(0)
    array = kernel.array(pointer, short, 3)
    members = [("a", character, 0), ("p", pointer, 32), ("ps", array, 64), ("end", short, 160)]
    kernel.struct("object", 24, members)
    path = tmp_path / "kernel.btf"
    path.write_bytes(kernel.data())
    local = "struct object { u64 pad; void *p; void *ps[3]; int end; };"
    bodies = {
        "load": "struct object *it = ctx; return (long)it->p + (long)it->ps[2] + it->end;",
        "sizes": "struct object *it = ctx; return bpf_core_field_size(it->ps);",
        "type": "return bpf_core_type_size(struct object);",
        "read": "struct object *it = ctx; return (long)BPF_CORE_READ(it, ps[1]);",
    }
    compare(tmp_path, runner, local, bodies, path)


def test_several_types_of_a_name(tmp_path: Path, runner: Path) -> None:
    kernel = Types()
    number = kernel.integer()
    long = kernel.integer("long", 8)
    kernel.struct("object", 8, [("a", number, 0), ("b", number, 32)])
    kernel.struct("object", 16, [("a", number, 0), ("b", number, 64), ("c", long, 64)])
    kernel.struct("object___x", 4, [("d", number, 0)])
    path = tmp_path / "kernel.btf"
    path.write_bytes(kernel.data())
    local = "struct object { int a, b, c, d, e; };"
    it = "struct object *it = ctx; "
    bodies = {
        "agree": it + "return it->a;",
        "only_one": it + "return it->d;",
        "ambiguous": it + "return it->b;",
        "settled": it + "return it->c + it->b;",
        "size": "return bpf_core_type_size(struct object);",
        "id": "return bpf_core_type_id_kernel(struct object);",
        "exists": "return bpf_core_type_exists(struct object);",
        "nowhere": it + "return bpf_core_field_exists(it->e);",
    }
    for name, body in bodies.items():
        compare(tmp_path, runner, local, {name: body}, path)
    # What a type lacks leaves it out from then on, so the order counts.
    compare(tmp_path, runner, local, {name: bodies[name] for name in ("settled", "ambiguous", "agree")}, path)


SCALARS = ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "void *", "bool", "char", "enum e"]
_SHARED_FOLDER = [HealthCheck.function_scoped_fixture]
NAMES = list("abcdefgh")


@st.composite
def members(draw: st.DrawFn, names: Sequence[str], depth: int = 0) -> str:
    """The members of a struct, with some of these names."""
    texts = []
    for name in names:
        form = draw(st.sampled_from(["scalar", "scalar", "array", "bits", "missing"]))
        scalar = draw(st.sampled_from(SCALARS))
        if form == "bits":
            scalar = draw(st.sampled_from(SCALARS[:8]))
            bits = draw(st.integers(1, 8 * (1 << SCALARS.index(scalar) // 2)))
            # clang cannot tell of bit-fields of a program that lie across its alignment.
            texts.append(f"{scalar} :0; {scalar} {name}:{bits};" if depth else f"{scalar} {name}:{bits};")
        elif form == "array":
            texts.append(f"{scalar} {name}[{draw(st.integers(1, 4))}];")
        elif form == "scalar":
            texts.append(f"{scalar} {name};")
    if depth < 2 and len(texts) > 1:
        cut = draw(st.integers(0, len(texts) - 1))
        kind = draw(st.sampled_from(["struct", "union"]))
        texts[cut:] = [f"{kind} {{ {' '.join(texts[cut:])} }};"]
    order = draw(st.permutations(texts))
    return " ".join(order) or "int nothing;"


@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=_SHARED_FOLDER)
@given(data=st.data())
def test_structs_at_random(tmp_path: Path, runner: Path, data: st.DataObject) -> None:
    local, other = data.draw(members(NAMES, depth=2)), data.draw(members(NAMES))
    packed = data.draw(st.sampled_from(["", "__attribute__((packed))"]))
    enumeration = "enum e { E0, E1 };"
    kernel = compile_kernel(tmp_path, f"{enumeration} struct object {{ {other} }} {packed};", ["struct object"])
    present = [name for name in NAMES if any(f"{name}{end}" in local for end in (";", "[", ":"))]
    it = "struct object *it = ctx; "
    bodies = {}
    for name, kind in itertools.product(present, ("exists", "load", "bits", "size")):
        is_array, is_bits = f" {name}[" in local or f"*{name}[" in local, f" {name}:" in local
        element = f"{name}[0]" if is_array else name
        if kind == "load" and not is_bits:
            bodies[f"{kind}_{name}"] = f"{it} return (long)it->{element};"
        elif kind == "bits" and not is_array and f"void * {name};" not in local:
            bodies[f"{kind}_{name}"] = f"{it} return BPF_CORE_READ_BITFIELD(it, {name});"
        elif kind == "exists":
            bodies[f"{kind}_{name}"] = f"{it} return bpf_core_field_exists(it->{name});"
        elif kind == "size" and not is_bits:
            bodies[f"{kind}_{name}"] = f"{it} return bpf_core_field_size(it->{element});"
    bodies["matches"] = "return bpf_core_type_matches(struct object) + bpf_core_type_size(struct object);"
    compare(tmp_path, runner, f"{enumeration} struct object {{ u64 wide; {local} }};", bodies, kernel)
