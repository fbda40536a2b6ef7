"""What resolving makes of an image on kernels that files describe, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.loader import load
from bpfas.loader.core.kinds import CoreKind
from bpfas.loader.instructions import Code
from bpfas.loader.kernel.described import DescribedKernel
from bpfas.loader.kinds import AttachType, MapType, ProgramType
from bpfas.loader.loading.options import LoadOptions
from bpfas.loader.loading.resolve import resolve
from bpfas.loader.sections import section_kind
from bpfas.loader.spec import (
    CoreRelocation,
    ExternReference,
    ExternSource,
    ExternSpec,
    Image,
    MapReference,
    MapSpec,
    ProgramSpec,
    ReferenceKind,
    Slot,
)
from tests.btf.builders import Types
from tests.loader.builders import CALL_SYMBOL, EXIT, PASS, insn
from tests.loader.kernels import SplitTypes, module, vmlinux

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.loader.loading.plan import ProgramPlan

PAGE = 4096


def the_kernel() -> DescribedKernel:
    """A kernel with one function and one tracepoint, and a function in the module `nf`."""
    base = Types()
    prototype = base.prototype(0, [])
    base.func("vfs_read", prototype)
    base.typedef("btf_trace_sched_switch", base.pointer(prototype))
    netfilter = SplitTypes(base)
    netfilter.func("nf_hook", prototype)
    types = vmlinux(base)
    return DescribedKernel(types, [module("nf", netfilter, types)], release="6.18", name="the kernel")


def program(section: str) -> ProgramSpec:
    kind = section_kind(section)
    spec = ProgramSpec("prog", "prog", section, kind.program_type, PASS)
    return spec._replace(expected_attach_type=kind.attach_type, kind=kind)


def image(*parts: MapSpec | ProgramSpec) -> Image:
    maps = {part.name: part for part in parts if isinstance(part, MapSpec)}
    programs = {part.name: part for part in parts if isinstance(part, ProgramSpec)}
    return Image("app", ByteOrder.LITTLE, maps, programs)


def planned(spec: ProgramSpec, options: LoadOptions) -> ProgramPlan:
    return resolve(image(spec), the_kernel(), options).programs["prog"]


def refusal(*parts: MapSpec | ProgramSpec, options: LoadOptions = LoadOptions()) -> str:  # noqa: B008
    with pytest.raises(BpfasError) as caught:
        resolve(image(*parts), the_kernel(), options)
    return str(caught.value)


class TestAttachTargets:
    """What programs are loaded for, and when it is of another program."""

    def test_many_functions_of_a_module(self) -> None:
        attach = planned(program("fentry.multi/nf:nf_*"), LoadOptions()).attach
        assert attach
        assert (attach.type_id, attach.owner.name) == (0, "nf")

    def test_a_type_that_is_set_by_hand(self) -> None:
        spec = program("zzz")._replace(
            program_type=ProgramType.TRACING,
            expected_attach_type=AttachType.TRACE_FEXIT,
            target="vfs_read",
        )
        attach = planned(spec, LoadOptions()).attach
        assert attach
        assert attach.owner.btf.name(attach.type_id) == "vfs_read"

    def test_a_target_is_for_programs_that_follow_functions(self) -> None:
        options = LoadOptions(target=7)
        assert planned(program("fentry/vfs_read"), options).attach is None
        assert options.target_of(program("freplace/f")) == 7
        attach = planned(program("tp_btf/sched_switch"), options).attach
        assert attach
        assert attach.owner.btf.name(attach.type_id) == "btf_trace_sched_switch"

    def test_a_target_for_a_program_that_there_is_not(self) -> None:
        errors = refusal(program("xdp"), options=LoadOptions(target={"prg": 7}))
        assert (
            "app: error: a target is given for program 'prg', which there is not\n>>> did you mean prog?" in errors
        )


class TestRoom:
    """Maps have room for what the object puts into them."""

    ARENA = MapSpec("arena", "arena", MapType.ARENA, 0, 0, 2)

    def test_data_in_an_arena(self) -> None:
        assert resolve(image(self.ARENA._replace(contents=bytes(2 * PAGE))), the_kernel())
        errors = refusal(self.ARENA._replace(contents=bytes(2 * PAGE + 1)))
        assert "map 'arena' has 2 pages of 4096 bytes, but the data in it takes 3" in errors
        assert ">>> give it max_entries of 3 at least" in errors

    def test_the_data_is_at_the_end_of_the_arena_where_the_kernel_takes_any_offset(self) -> None:
        loads = insn("ld_pseudo", dst=1, src=2) + insn("ld_pseudo", dst=1, src=1)
        references = (
            MapReference(0, "arena", ReferenceKind.MAP_VALUE, 8),
            MapReference(2, "arena", ReferenceKind.MAP_FD, 0),
        )
        spec = program("syscall")._replace(instructions=loads + PASS, references=references)
        kernel = DescribedKernel(vmlinux(Types()), release="7.0")
        plan = resolve(image(self.ARENA._replace(contents=bytes(16)), spec), kernel)
        code = Code(plan.programs["prog"].instructions, ByteOrder.LITTLE)
        assert plan.maps["arena"].spec.data_offset == PAGE
        assert (code.imm(1), code.imm(3)) == (PAGE + 8, 0)

    @pytest.mark.parametrize("map_type", [MapType.PROG_ARRAY, MapType.ARRAY_OF_MAPS])
    def test_slots_of_arrays(self, map_type: MapType) -> None:
        spec = MapSpec("m", "m", map_type, 4, 4, 4, slots=(Slot(0, "a"), Slot(3, "b")))
        assert resolve(image(spec), the_kernel())
        errors = refusal(spec._replace(max_entries=3))
        assert "map 'm' has 3 entries, but 'b' is put into it as number 3" in errors

    def test_slots_of_hash_tables(self) -> None:
        spec = MapSpec("m", "m", MapType.HASH_OF_MAPS, 4, 4, 2, slots=(Slot(0, "a"), Slot(9, "b")))
        assert resolve(image(spec), the_kernel())
        assert "map 'm' has 1 entries, but 2 maps are put into it" in refusal(spec._replace(max_entries=1))


def test_relocations_by_the_types_of_a_file(tmp_path: Path) -> None:
    own, others = Types(), Types()
    struct_id = own.struct("thing", 4, [])
    others.struct("thing", 24, [])
    file = tmp_path / "6.18.btf"
    file.write_bytes(others.data())
    size_of_thing = insn("mov_imm", dst=0, imm=4) + EXIT
    relocation = CoreRelocation(0, struct_id, "0", CoreKind.TYPE_SIZE)
    sized = image(program("xdp")._replace(instructions=size_of_thing, core=(relocation,)))
    sized.types = own.read()
    kernel = the_kernel()  # which has no such type
    plans = [resolve(sized, kernel, LoadOptions(btf=btf)).programs["prog"] for btf in (file, None)]
    assert [Code(plan.instructions, ByteOrder.LITTLE).imm(0) for plan in plans] == [24, 0]
    with pytest.raises(BpfasError, match="cannot be read"):
        resolve(sized, kernel, LoadOptions(btf=tmp_path / "none"))


def test_functions_of_more_modules_than_a_call_can_tell_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    base = Types()
    prototype = base.prototype(0, [])
    types = vmlinux(base)
    modules = []
    for number in range(3):
        own = SplitTypes(base)
        own.func(f"f{number}", prototype)
        modules.append(module(f"m{number}", own, types))
    calls = tuple(ExternReference(number, f"f{number}") for number in range(3))
    spec = program("xdp")._replace(instructions=3 * CALL_SYMBOL + PASS, externs=calls)
    caller = image(spec)
    caller.externs = {
        call.name: ExternSpec(call.name, ExternSource.KERNEL_FUNCTION, is_called=True) for call in calls
    }
    kernel = DescribedKernel(types, modules, release="6.18")
    assert len(resolve(caller, kernel).programs["prog"].fd_array) == 3
    monkeypatch.setattr("bpfas.loader.loading.program_plans._MOST_MODULES", 2)
    with pytest.raises(BpfasError, match="program 'prog' calls functions of 3 modules"):
        resolve(caller, kernel)


def test_an_image_takes_no_more_libraries() -> None:
    with pytest.raises(TypeError, match="an Image has its libraries and ksyms already"):
        load(image(program("xdp")), ["lib.o"])
