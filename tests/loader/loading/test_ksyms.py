"""What names that an image leaves to the kernel stand for, in kernels that files describe."""

from __future__ import annotations

import pytest

from bpfas.btf.kinds import Kind
from bpfas.diag import Diagnostics
from bpfas.elf.constants import ByteOrder
from bpfas.loader.instructions import Code
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.loading.ksyms import KernelSymbol, find_externs, write_extern
from bpfas.loader.spec import ExternSource, ExternSpec, Image
from tests.btf.builders import Types
from tests.loader.builders import CALL_SYMBOL, LDDW, insn
from tests.loader.kernels import SplitTypes, module, vmlinux

FUNCTION = ExternSource.KERNEL_FUNCTION
VARIABLE = ExternSource.KERNEL_VARIABLE
ADDRESS = ExternSource.KERNEL_ADDRESS
ANY = ExternSource.KERNEL_NAME


def kernel_with_modules(kallsyms: bytes = b"") -> DescribedKernel:
    """vmlinux with the function `acquire(int)` and the variable `runqueues`, and two modules."""
    base = Types()
    number = base.integer()
    base.var("runqueues", base.struct("rq", 4, [("nr", number, 0)]))
    acquire = base.func("acquire", base.prototype(number, [("id", number)]))
    base.tag("bpf_kfunc", acquire)
    base.func("acquire_internal", base.prototype(number, []))
    first = SplitTypes(base)
    first.func("first_release", first.prototype(0, [("id", number)]))
    first.var("first_count", number)
    second = SplitTypes(base)
    second.func("second_release", second.prototype(0, []))
    second.func("first_release", second.prototype(0, []))
    types = vmlinux(base)
    modules = [module("first", first, types), module("second", second, types)]
    return DescribedKernel(types, modules, kallsyms=kallsyms, name="the kernel")


def find(
    *externs: ExternSpec, kernel: DescribedKernel | None = None, types: Types | None = None
) -> tuple[dict[str, KernelSymbol], str]:
    """What the names stand for, and what is reported."""
    image = Image(
        "app.o",
        ByteOrder.LITTLE,
        externs={extern.name: extern for extern in externs},
        types=types.read() if types else None,
    )
    diagnostics = Diagnostics()
    found = find_externs(image, kernel or kernel_with_modules(), diagnostics)
    return found, "\n".join(item.render() for item in diagnostics.items)


def owner_and_name(symbol: KernelSymbol) -> tuple[str, str]:
    assert symbol.owner
    return symbol.owner.name, symbol.owner.btf.name(symbol.type_id)


@pytest.mark.parametrize(
    ("name", "source", "owner"),
    [
        ("acquire", FUNCTION, "vmlinux"),
        ("acquire", ANY, "vmlinux"),
        ("runqueues", VARIABLE, "vmlinux"),
        ("runqueues", ANY, "vmlinux"),
        ("first_release", FUNCTION, "first"),
        ("second_release", FUNCTION, "second"),
        ("first_count", VARIABLE, "first"),
    ],
)
def test_names_are_found_in_vmlinux_and_in_modules(name: str, source: ExternSource, owner: str) -> None:
    found, report = find(ExternSpec(name, source))
    assert not report
    assert owner_and_name(found[name]) == (owner, name)


def test_a_function_may_have_a_flavour_and_a_variable_not() -> None:
    found, report = find(ExternSpec("acquire___mine", FUNCTION), ExternSpec("runqueues___mine", VARIABLE))
    assert owner_and_name(found["acquire___mine"]) == ("vmlinux", "acquire")
    assert "the kernel has no variable 'runqueues___mine' in its BTF" in report


def test_what_is_called_is_a_function() -> None:
    _, report = find(ExternSpec("runqueues", ANY, is_called=True))
    assert "the kernel has no function 'runqueues'" in report


def declared(parameters: int, name: str = "acquire", *, is_weak: bool = False) -> tuple[ExternSpec, Types]:
    """A function with so many parameters of type int."""
    types = Types()
    number = types.integer()
    prototype = types.prototype(number, [(f"p{count}", number) for count in range(parameters)])
    return ExternSpec(name, FUNCTION, is_weak, True, types.func(name, prototype, 2)), types


def test_a_function_has_to_be_what_the_program_declares() -> None:
    extern, types = declared(1)
    assert find(extern, types=types)[0]["acquire"].type_id
    extern, types = declared(2)
    found, report = find(extern, types=types)
    assert not found["acquire"].type_id
    assert report == (
        "app.o: error: the kernel's function 'acquire' is not what the program declares\n"
        ">>> declared is extern int acquire(int p0, int p1)\n"
        ">>> vmlinux has int acquire(int id)\n"
        ">>> declare it as this kernel has it"
    )


def test_a_weak_function_that_is_another_counts_as_missing() -> None:
    extern, types = declared(2, is_weak=True)
    assert find(extern, types=types) == ({"acquire": KernelSymbol()}, "")


def test_of_several_functions_by_a_name_the_one_that_fits_is_taken() -> None:
    types = Types()
    extern = ExternSpec("first_release", FUNCTION, type_id=types.func("first_release", types.prototype(0, []), 2))
    found, report = find(extern, types=types)
    assert not report
    assert owner_and_name(found["first_release"]) == ("second", "first_release")


@pytest.mark.parametrize("is_weak", [False, True])
def test_a_variable_has_to_be_what_the_program_declares(is_weak: bool) -> None:
    types = Types()
    pointer = types.pointer(types.integer())
    extern = ExternSpec("runqueues", VARIABLE, is_weak, type_id=types.var("runqueues", pointer, 2))
    _, report = find(extern, types=types)
    assert "the kernel's variable 'runqueues' is not what the program declares" in report
    assert ">>> vmlinux has struct rq runqueues" in report


def test_a_variable_may_be_declared_with_less() -> None:
    types = Types()
    local = types.struct("rq___mine", 8, [])
    extern = ExternSpec("runqueues", VARIABLE, type_id=types.var("runqueues", types.refer(Kind.CONST, local), 2))
    found, report = find(extern, types=types)
    assert not report
    assert found["runqueues"].type_id


def test_strong_names_that_are_missing_are_errors_with_the_nearest() -> None:
    _, report = find(
        ExternSpec("acquir", FUNCTION), ExternSpec("runqueue", VARIABLE), ExternSpec("second_releas", FUNCTION)
    )
    assert "has no function 'acquir' in its BTF\n>>> did you mean acquire?\n>>> its 2 modules have none" in report
    assert "has no variable 'runqueue' in its BTF\n>>> did you mean runqueues?" in report
    assert "did you mean second_release" in report


def test_functions_that_are_no_kfuncs_are_not_proposed() -> None:
    _, report = find(ExternSpec("acquire_interna", FUNCTION))
    assert "acquire_internal" not in report


def test_weak_names_that_are_missing_stand_for_nothing() -> None:
    externs = [ExternSpec(source.value, source, is_weak=True) for source in ExternSource]
    found, report = find(*externs, kernel=kernel_with_modules(b"0000000000000001 T _stext\n"))
    assert not report
    assert set(found.values()) == {KernelSymbol()}


def test_a_kernel_without_types_is_told() -> None:
    _, report = find(ExternSpec("acquire", FUNCTION), kernel=DescribedKernel())
    assert "'acquire' cannot be looked up: the kernel has no BTF\n>>> use a kernel with CONFIG_" in report


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("ffffffff81000010 T f\nffffffff81000020 T ff\n", 0xFFFFFFFF81000010),
        ("ffffffff81000010 t f\t[module]\n", 0xFFFFFFFF81000010),
        ("ffffffff81000010 d f.llvm.123\n", 0xFFFFFFFF81000010),
        ("ffffffff81000010 T f\nffffffff81000010 T f\n", 0xFFFFFFFF81000010),
        ("ffffffff81000000 T _stext\n0000000000000000 D f\n", 0),
        ("ffffffff81000010 T f\nffffffff81000020 t f\n", "has 'f' at 2 addresses: 0xffffffff81000010, 0x"),
        ("ffffffff81000000 T _stext\nffffffff81000010 T f.llvm.123\n", "the kernel has no symbol 'f'"),
    ],
)
@pytest.mark.parametrize("source", [ADDRESS, ANY])
def test_names_without_a_type_have_an_address(source: ExternSource, text: str, result: int | str) -> None:
    found, report = find(ExternSpec("f", source), kernel=kernel_with_modules(text.encode()))
    if isinstance(result, int):
        assert found["f"] == KernelSymbol(address=result)
    else:
        assert result in report


def test_addresses_that_are_hidden_are_told_for_a_kernel_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = kernel_with_modules(b"0000000000000000 T f\n0000000000000000 T _stext\n")
    monkeypatch.setattr(kernel, "is_running", True)
    _, report = find(ExternSpec("f", ADDRESS), kernel=kernel)
    assert "the address of 'f' is hidden" in report
    assert "CAP_SYSLOG" in report


def test_a_dry_run_goes_on_without_addresses() -> None:
    found, report = find(ExternSpec("f", ADDRESS))
    assert found["f"] == KernelSymbol()
    assert report == "app.o: warning: the address of 'f' is not known, so 0 stands for it"


@pytest.mark.parametrize(
    ("instruction", "symbol", "result"),
    [
        (CALL_SYMBOL, KernelSymbol(type_id=70000), insn("call_kfunc", imm=70000)),
        (CALL_SYMBOL, KernelSymbol(), insn("call", imm=2002000003)),
        (LDDW, KernelSymbol(type_id=70000), insn("ld_pseudo", dst=1, src=3, imm=70000)),
        (LDDW, KernelSymbol(), insn("lddw", dst=1)),
        (LDDW, KernelSymbol(address=0xFFFFFFFF81234568), insn("lddw", dst=1, imm=0xFFFFFFFF81234568 - (1 << 64))),
    ],
)
def test_what_is_written_into_instructions(instruction: bytes, symbol: KernelSymbol, result: bytes) -> None:
    code_ = Code(instruction, ByteOrder.LITTLE)
    write_extern(code_, 0, symbol, 3)
    assert bytes(code_.data) == result
