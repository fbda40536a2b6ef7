"""What is said of CO-RE relocations that a kernel cannot satisfy, and of those that are wrong."""

from __future__ import annotations

import pytest

from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import ByteOrder
from bpfas.loader.core.apply import apply_core
from bpfas.loader.core.kinds import CoreKind
from bpfas.loader.core.resolver import CoreResolver
from bpfas.loader.core.survey import Outcome, survey
from bpfas.loader.instructions import CALL, POISON, Code
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kernel.types import KernelTypes
from bpfas.loader.kinds import ProgramType
from bpfas.loader.spec import CoreRelocation, Image, ProgramSpec
from tests.btf.builders import Types
from tests.loader.builders import insn

ORDER = ByteOrder.LITTLE
MOV = insn("mov_imm", dst=1, imm=0)
LOAD = insn("ldxw", dst=1, src=1, off=0)
LOAD_WIDE = insn("lddw", dst=1)


def local_types() -> Types:
    """Those of a program; their ids are below."""
    types = Types()
    number, wide = types.integer(), types.integer("u64", 8, 0)
    array = types.array(number, number, 4)
    types.struct("task___mine", 32, [("pid", number, 0), ("start", wide, 64), ("names", array, 128)])
    types.struct("gone", 4, [("x", number, 0)])
    types.enum("color", [("RED", 0), ("GREEN", 5)])
    types.typedef("handle", types.pointer(0))
    return types


TASK, GONE, COLOR, HANDLE = 4, 5, 6, 8


def kernel_of(types: Types, *modules: KernelTypes) -> DescribedKernel:
    return DescribedKernel(KernelTypes("vmlinux", types.read("vmlinux")), modules, name="the kernel")


def other_kernel() -> DescribedKernel:
    types = Types()
    number = types.integer()
    pointer = types.pointer(0)
    small = types.array(number, number, 2)
    types.struct(
        "task", 32, [("flags", number, 0), ("start", pointer, 64), ("names", small, 128), ("tpid", number, 32)]
    )
    types.struct("gond", 4, [("x", number, 0)])
    types.enum("color", [("REDDISH", 0), ("GREEN_", 5)])
    types.struct("handle", 4, [("x", number, 0)])
    return kernel_of(types)


def applied(
    kernel: DescribedKernel, instruction: bytes, type_id: int, access: str, kind: CoreKind
) -> tuple[Code, list[str], list[str]]:
    """The instruction, what is said of it if it is poisoned, and what is said to be wrong."""
    code, diagnostics = Code(instruction, ORDER), Diagnostics()
    resolver = CoreResolver(local_types().read("app.o"), kernel)
    failures = apply_core(code, [CoreRelocation(0, type_id, access, kind)], resolver, "app.o", diagnostics)
    return code, [failure.text for failure in failures], [item.message for item in diagnostics.items]


OFFSET = CoreKind.FIELD_BYTE_OFFSET


@pytest.mark.parametrize(
    ("type_id", "access", "kind", "text"),
    [
        (
            TASK,
            "0:0",
            OFFSET,
            "the offset of struct task___mine.pid: the kernel's struct task has no member pid; did you mean tpid?",
        ),
        (
            TASK,
            "0:1",
            OFFSET,
            (
                "the offset of struct task___mine.start: "
                "member start is `u64` in the program and `void *` in the kernel's struct task"
            ),
        ),
        (
            TASK,
            "0:2:3",
            OFFSET,
            "the offset of struct task___mine.names[3]: in the kernel, the array has 2 elements",
        ),
        (GONE, "0:0", OFFSET, "the offset of struct gone.x: the kernel has no struct gone; did you mean gond?"),
        (
            COLOR,
            "0",
            CoreKind.ENUMVAL_VALUE,
            "the value of enum color::RED: the kernel's enum color has no RED; did you mean REDDISH?",
        ),
    ],
    ids=["member", "other sort", "element", "type", "enumerator"],
)
def test_what_the_kernel_lacks_is_named(type_id: int, access: str, kind: CoreKind, text: str) -> None:
    code, failures, errors = applied(other_kernel(), MOV, type_id, access, kind)
    assert failures == [text]
    assert errors == []
    assert (code.opcode(0), code.src(0), code.imm(0)) == (CALL, 0, POISON)


def test_both_slots_of_a_wide_load_are_poisoned() -> None:
    code, failures, _ = applied(other_kernel(), LOAD_WIDE, COLOR, "0", CoreKind.ENUMVAL_VALUE)
    assert failures
    assert [(code.opcode(slot), code.imm(slot)) for slot in (0, 1)] == [(CALL, POISON)] * 2


@pytest.mark.parametrize(
    ("instruction", "type_id", "access", "kind", "text"),
    [
        (MOV, TASK, "0:7", OFFSET, "leads to number 7 of `struct task___mine`, which has 3 members"),
        (MOV, TASK, "0:2:4", OFFSET, "leads to number 4 of `int [4]`, which has 4 elements"),
        (MOV, TASK, "0:0:0", OFFSET, "leads into `int`, which has nothing inside"),
        (MOV, TASK, "", OFFSET, "is no list of numbers"),
        (MOV, TASK, "0:-1", OFFSET, "is no list of numbers"),
        (MOV, TASK, "0" + ":0" * 64, OFFSET, "has 65 numbers, but up to 64 are possible"),
        (MOV, TASK, "1", CoreKind.TYPE_SIZE, "is not `0`"),
        (MOV, COLOR, "2", CoreKind.ENUMVAL_VALUE, "is no number of one of the 2 enumerators"),
        (MOV, TASK, "0", CoreKind.ENUMVAL_VALUE, "is about an enumerator, but the type is no enumeration"),
        (MOV, TASK, "0", CoreKind.FIELD_SIGNED, "of which there is no sign to be told"),
        (MOV, 0, "0:0", OFFSET, "begins with a type that has no size"),
        (MOV, 3, "0:1", OFFSET, "has no name by which the kernel could have it"),
        (MOV, TASK, "0:0", 13, "CO-RE relocations of kind 13 are not known"),
        (insn("mov_reg", dst=1, src=2), TASK, "0:0", CoreKind.FIELD_EXISTS, "has no place for the existence"),
        (insn("exit"), TASK, "0:0", CoreKind.FIELD_EXISTS, "has no place for the existence"),
        (insn("mov_imm", dst=1, imm=3), TASK, "0:0", CoreKind.FIELD_EXISTS, "has 3 where the existence"),
        (insn("ld_pseudo", dst=1, src=1), TASK, "0", CoreKind.TYPE_EXISTS, "is of something else"),
    ],
    ids=map(str, range(17)),
)
def test_wrong_relocations_are_errors(
    instruction: bytes, type_id: int, access: str, kind: CoreKind, text: str
) -> None:
    code, _, errors = applied(other_kernel(), instruction, type_id, access, kind)
    assert len(errors) == 1
    assert text in errors[0]
    assert bytes(code.data) == instruction


def test_an_instruction_beyond_the_program_is_an_error() -> None:
    diagnostics = Diagnostics()
    resolver = CoreResolver(local_types().read(), other_kernel())
    apply_core(
        Code(MOV, ORDER), [CoreRelocation(1, TASK, "0", CoreKind.TYPE_EXISTS)], resolver, "a.o", diagnostics
    )
    assert "it is of instruction 1, but the program has 1" in diagnostics.items[0].message


def test_without_types_of_the_kernel_only_ids_of_the_program_are_known() -> None:
    kernel = DescribedKernel(name="the old kernel")
    wide = insn("lddw", dst=1)
    code, _, errors = applied(kernel, wide, TASK, "0", CoreKind.TYPE_ID_LOCAL)
    assert (code.imm(0), errors) == (TASK, [])
    _, _, errors = applied(kernel, MOV, TASK, "0", CoreKind.TYPE_EXISTS)
    assert "the old kernel has none" in errors[0]


def test_a_type_of_another_kind_is_told() -> None:
    resolver = CoreResolver(local_types().read(), other_kernel())
    diagnostics = Diagnostics()
    found = resolver.resolve(CoreRelocation(0, HANDLE, "0", CoreKind.TYPE_EXISTS))
    assert found.new is None
    assert not diagnostics.items


def test_types_of_modules_are_found_where_vmlinux_has_none() -> None:
    base = Types()
    base.integer()
    base.struct("task", 8, [("pid", 1, 32)])
    vmlinux = KernelTypes("vmlinux", base.read("vmlinux"))
    both = Types()
    both.integer()
    both.struct("task", 8, [("pid", 1, 32)])
    both.struct("gone", 8, [("x", 1, 32)])
    both.struct("task", 8, [("pid", 1, 0), ("start", 1, 32)])
    module = KernelTypes("nf", both.read("nf"), first_own_id=3)
    kernel = DescribedKernel(vmlinux, [module])
    code, failures, errors = applied(kernel, MOV, GONE, "0:0", OFFSET)
    assert (code.imm(0), failures, errors) == (4, [], [])
    code, failures, errors = applied(kernel, MOV, TASK, "0:0", OFFSET)
    assert (code.imm(0), failures, errors) == (4, [], [])


def unsigned_enum(value: int) -> Types:
    types = Types()
    types.enum("big", [("BIG", value)])
    return types


def test_unsigned_enumerators_beyond_31_bits() -> None:
    """libbpf takes them for negative, and refuses what compilers make of them."""
    code, diagnostics = Code(insn("lddw", dst=1, imm=0x80000001), ORDER), Diagnostics()
    resolver = CoreResolver(unsigned_enum(0x80000001).read(), kernel_of(unsigned_enum(0x80000005)))
    apply_core(code, [CoreRelocation(0, 1, "0", CoreKind.ENUMVAL_VALUE)], resolver, "app.o", diagnostics)
    assert not diagnostics.items
    assert (code.imm(0) % (1 << 32), code.imm(1)) == (0x80000005, 0)


def test_negative_enumerators_of_old_compilers() -> None:
    """They did not say that the enumeration is signed."""
    code, diagnostics = Code(insn("lddw", dst=1, imm=-3), ORDER), Diagnostics()
    resolver = CoreResolver(unsigned_enum(-3).read(), kernel_of(unsigned_enum(-7)))
    apply_core(code, [CoreRelocation(0, 1, "0", CoreKind.ENUMVAL_VALUE)], resolver, "app.o", diagnostics)
    assert not diagnostics.items
    assert (code.imm(0), code.imm(1)) == (-7, -1)


def test_loads_of_another_size_are_told() -> None:
    types = Types()
    short = types.integer("short", 2)
    types.struct("gone", 4, [("x", short, 0)])
    code, failures, _ = applied(kernel_of(types), LOAD, GONE, "0:0", OFFSET)
    assert code.imm(0) == POISON
    assert "it is `int` of 4 bytes in the program and `short` of 2 bytes in the kernel" in failures[0]


def test_the_survey_tells_kernel_by_kernel() -> None:
    fitting = Types()
    number = fitting.integer()
    fitting.struct("task", 8, [("pid", number, 32)])
    relocations = (
        CoreRelocation(0, TASK, "0:0", OFFSET),
        CoreRelocation(1, TASK, "0:0", OFFSET),
        CoreRelocation(2, GONE, "0", CoreKind.TYPE_EXISTS),
        CoreRelocation(3, TASK, "0:9", OFFSET),
    )
    code = MOV * 2 + insn("mov_imm", dst=1, imm=1) + MOV
    program = ProgramSpec("watch", "watch", "xdp", ProgramType.XDP, code, core=relocations)
    image = Image("app.o", ORDER, programs={"watch": program}, types=local_types().read("app.o"))
    good = kernel_of(fitting)
    good.name = "6.1"
    found = list(survey(image, [good, other_kernel()]))
    assert [(item.kernel, item.outcome, item.value) for item in found] == [
        ("6.1", Outcome.RESOLVED, 4),
        ("6.1", Outcome.ABSENT, 0),
        ("6.1", Outcome.ERROR, None),
        ("the kernel", Outcome.POISONED, None),
        ("the kernel", Outcome.ABSENT, 0),
        ("the kernel", Outcome.ERROR, None),
    ]
    assert found[0].programs == (("watch", 0), ("watch", 1))
    assert found[0].text == "offset of struct task___mine.pid: 4"
    assert found[4].text == "existence of struct gone: the kernel has no struct gone; did you mean gond?"
    assert "has 3 members" in found[5].text


def test_hostile_nesting_of_anonymous_members_is_an_error() -> None:
    types = Types()
    inner = types.integer()
    for _ in range(100):
        inner = types.struct("", 4, [("", inner, 0)])
    types.struct("gone", 4, [("", inner, 0)])
    _, _, errors = applied(kernel_of(types), MOV, GONE, "0:0", OFFSET)
    assert "64 levels deep" in errors[0]


def test_malformed_numbers_never_get_through() -> None:
    resolver = CoreResolver(local_types().read(), other_kernel())
    with pytest.raises(BpfasError, match="is no list of numbers"):
        resolver.resolve(CoreRelocation(0, TASK, "0:99999999999999", OFFSET))
