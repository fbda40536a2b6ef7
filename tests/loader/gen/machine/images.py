"""Images made by hand, in either byte order: what libbpf's generator does not know, and small ones by chance."""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING

from bpfas.elf.constants import ByteOrder
from bpfas.loader.kinds import AttachType, MapFlag, MapType, ProgramFlag, ProgramType
from bpfas.loader.spec import (
    CoreRelocation,
    ExternReference,
    ExternSource,
    ExternSpec,
    Image,
    JumpTable,
    KconfigKind,
    KconfigVariable,
    MapReference,
    MapSpec,
    ProgramSpec,
    ReferenceKind,
    Slot,
    StructOps,
)
from tests.loader.gen.machine.instructions import Instruction
from tests.loader.gen.machine.kernel import FUNC, STRUCT, TYPEDEF, VAR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.loader.gen.machine.memory import Endian

RETURN = (Instruction(0xB7, 0, 0, 0, 0), Instruction(0x95, 0, 0, 0, 0))
LOAD = (Instruction(0x18, 1, 0, 0, 0), Instruction(0, 0, 0, 0, 0))
CALL_KERNEL = (Instruction(0x85, 0, 2, 0, -1),)

TYPES: dict[tuple[str, int], tuple[int, str]] = {
    ("runqueues", VAR): (101, ""),
    ("of_a_module", FUNC): (203, "near"),
    ("also_of_it", FUNC): (204, "near"),
    ("in_vmlinux", FUNC): (205, ""),
    ("btf_trace_event", TYPEDEF): (301, "near"),
    ("bpf_struct_ops_shaper", STRUCT): (401, "near"),
    ("shaper", STRUCT): (402, "near"),
}
ADDRESSES = {
    "jiffies": 0xFFFFFFFF81234567,
    "only_a_symbol": 0xFFFFFFFFA9876543,
    "near:of_a_module": 0xFFFFFFFFC0000010,
    "near:__traceiter_event": 64,
}


def types_blob(order: ByteOrder) -> bytes:
    """BTF with an int and nothing else."""
    strings = b"\0int\0"
    words = struct.pack(f"{order.value}4I", 1, 1 << 24, 4, 0x01000020)
    header = struct.pack(f"{order.value}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(words), len(words), len(strings))
    return header + words + strings


def spec(name: str, map_type: int = MapType.HASH, **fields: object) -> MapSpec:
    """A map of small elements."""
    return MapSpec(**{  # type: ignore[arg-type]
        "name": name, "kernel_name": name[:15], "map_type": map_type, "key_size": 4, "value_size": 4,
        "max_entries": 4, **fields,
    })  # fmt: skip


def data_map(name: str, contents: bytes | None, size: int = 0, *, frozen: bool = False) -> MapSpec:
    """A map of global data."""
    return spec(
        name,
        MapType.ARRAY,
        value_size=size or len(contents or b""),
        max_entries=1,
        map_flags=MapFlag.MMAPABLE,
        contents=contents,
        section=name,
        frozen=frozen,
    )


def inner() -> MapSpec:
    """What maps of maps hold."""
    return spec("inner", MapType.ARRAY)


class Maker:
    """Programs and images of one byte order."""

    def __init__(self, order: ByteOrder) -> None:
        self.order = order
        self.endian: Endian = order.name_for_int

    def program(
        self,
        name: str,
        *parts: str | tuple[str, str] | tuple[Instruction, ...],
        program_type: ProgramType = ProgramType.SOCKET_FILTER,
        **fields: object,
    ) -> ProgramSpec:
        """A program of parts: instructions, or `("map", NAME)` and the like for map, value, load and call."""
        code: list[Instruction] = []
        references, externs = [], []
        for part in parts:
            if isinstance(part, tuple) and isinstance(part[0], Instruction):
                code += [slot for slot in part if isinstance(slot, Instruction)]
                continue
            kind, target = str(part[0]), str(part[1])
            if kind in ("map", "value"):
                references.append(MapReference(len(code), target, ReferenceKind(kind), 0))
                code += LOAD
            else:
                externs.append(ExternReference(len(code), target))
                code += LOAD if kind == "load" else CALL_KERNEL
        code += RETURN
        return ProgramSpec(**{  # type: ignore[arg-type]
            "name": name, "kernel_name": name[:15], "section": "socket", "program_type": program_type,
            "instructions": b"".join(slot.encode(self.endian) for slot in code), "references": tuple(references),
            "externs": tuple(externs), "license": b"GPL", **fields,
        })  # fmt: skip

    def image(
        self,
        maps: Sequence[MapSpec] = (),
        programs: Sequence[ProgramSpec] = (),
        externs: Sequence[ExternSpec] = (),
        kconfig: Sequence[KconfigVariable] = (),
        *,
        has_types: bool = False,
        arena: str = "",
    ) -> Image:
        """An image of these."""
        return Image(
            "app.o",
            self.order,
            {each.name: each for each in maps},
            {each.name: each for each in programs},
            {each.name: each for each in externs},
            kconfig=tuple(kconfig),
            kernel_btf=types_blob(self.order) if has_types else None,
            arena=arena,
        )


def prog_array(make: Maker) -> Image:
    """Tail calls: slots that name programs, one of which is not loaded."""
    jumps = spec("jumps", MapType.PROG_ARRAY, slots=(Slot(0, "b"), Slot(2, "a"), Slot(3, "off")))
    programs = [make.program("a", ("map", "jumps")), make.program("b"), make.program("off", autoload=False)]
    return make.image([jumps], programs)


def map_slots(make: Maker) -> Image:
    """Maps of maps whose slots name maps before and behind them."""
    table = spec("table", MapType.ARRAY_OF_MAPS, inner=inner(), slots=(Slot(1, "behind"), Slot(3, "before")))
    nested = spec("nested", MapType.HASH_OF_MAPS, inner=inner())
    return make.image([spec("before"), table, spec("behind"), nested], [make.program("p", ("map", "table"))])


def many_maps(make: Maker) -> Image:
    """More maps than libbpf's generator takes."""
    maps = [spec(f"map_{number}") for number in range(70)]
    return make.image(maps, [make.program("p", ("map", "map_0"), ("map", "map_69"))])


def many_programs(make: Maker) -> Image:
    """More programs than libbpf's generator takes."""
    return make.image([spec("m")], [make.program(f"p{number}", ("map", "m")) for number in range(40)])


def not_loaded(make: Maker) -> Image:
    """Programs and maps that are left out between others."""
    maps = [spec("first"), spec("absent", autocreate=False), spec("last")]
    programs = [
        make.program("one", ("map", "first"), ("map", "absent")),
        make.program("two", autoload=False),
        make.program("three", ("map", "last")),
    ]
    return make.image(maps, programs)


def data(make: Maker) -> Image:
    """Global data, frozen or not, and some that is zero."""
    maps = [data_map("app.data", bytes(range(20))), data_map("app.rodata", b"fixed", frozen=True)]
    maps.append(data_map("app.bss", None, 12))
    program = make.program("p", ("value", "app.data"), ("value", "app.rodata"), ("value", "app.bss"))
    return make.image(maps, [program])


def names(make: Maker) -> Image:
    """Variables, functions, addresses and names that may be any of them; weak ones that there are and are not."""
    externs = [
        ExternSpec("runqueues", ExternSource.KERNEL_VARIABLE),
        ExternSpec("gone_variable", ExternSource.KERNEL_VARIABLE, is_weak=True),
        ExternSpec("of_a_module", ExternSource.KERNEL_FUNCTION, is_called=True),
        ExternSpec("in_vmlinux", ExternSource.KERNEL_FUNCTION, is_weak=True, is_called=True),
        ExternSpec("gone_function", ExternSource.KERNEL_FUNCTION, is_weak=True, is_called=True),
        ExternSpec("jiffies", ExternSource.KERNEL_ADDRESS),
        ExternSpec("gone_address", ExternSource.KERNEL_ADDRESS, is_weak=True),
        ExternSpec("also_of_it", ExternSource.KERNEL_NAME),
        ExternSpec("only_a_symbol", ExternSource.KERNEL_NAME),
        ExternSpec("nobody", ExternSource.NOWHERE, is_weak=True),
    ]
    programs = [
        make.program(
            "a", ("load", "runqueues"), ("call", "of_a_module"), ("load", "gone_variable"), ("load", "runqueues"),
            ("call", "gone_function"), ("load", "gone_function"), ("call", "of_a_module"), ("load", "of_a_module"),
        ),
        make.program(
            "b", ("load", "jiffies"), ("load", "gone_address"), ("load", "also_of_it"), ("call", "in_vmlinux"),
            ("load", "nobody"), ("call", "of_a_module"), ("load", "only_a_symbol"),
        ),
    ]  # fmt: skip
    return make.image([spec("m")], programs, externs)


def options(make: Maker) -> Image:
    """Kernel options, which whoever runs the program has to tell."""
    variables = [
        KconfigVariable("CONFIG_HZ", KconfigKind.INTEGER, 0, 4, False, False),
        KconfigVariable("LINUX_KERNEL_VERSION", KconfigKind.INTEGER, 4, 4, False, False),
    ]
    kconfig = data_map("app.kconfig", None, 8, frozen=True)._replace(section=".kconfig")
    program = make.program("p", ("value", "app.kconfig"))
    return make.image([spec("m"), kconfig], [program], kconfig=variables)


def rings(make: Maker) -> Image:
    """Ring buffers whose size depends on the size of a page, and events that depend on the processors."""
    ring, large = spec("ring", MapType.RINGBUF, key_size=0, value_size=0), spec("large", MapType.USER_RINGBUF)
    large = large._replace(key_size=0, value_size=0, max_entries=100_000)
    return make.image([ring, large, spec("events", MapType.PERF_EVENT_ARRAY, max_entries=0)])


def typed(make: Maker) -> Image:
    """Maps with types, programs with records, CO-RE relocations."""
    program = make.program(
        "p",
        LOAD,
        func_info=array("I", (0, 1)),
        line_info=array("I", (0, 1, 1, 1 << 10, 2, 1, 1, 2 << 10)),
        core=(CoreRelocation(0, 1, "0", 8),),
    )
    maps = [spec("typed", key_type=1, value_type=1), spec("plain")]
    return make.image(maps, [program, make.program("q")], has_types=True)


def targets(make: Maker) -> Image:
    """Programs for functions of the kernel, of a module, and of a module that is named."""

    def tracing(name: str, target: str, attach_type: AttachType = AttachType.TRACE_FENTRY) -> ProgramSpec:
        return make.program(
            name,
            program_type=ProgramType.TRACING,
            expected_attach_type=attach_type,
            target=target,
            section="fentry",
            flags=ProgramFlag.SLEEPABLE,
        )

    programs = [
        tracing("anywhere", "of_a_module"),
        tracing("in_module", "near:of_a_module"),
        tracing("vmlinux", "vmlinux:in_vmlinux"),
        tracing("event", "near:event", AttachType.TRACE_RAW_TP),
    ]
    return make.image([], programs)


def replacement(make: Maker) -> Image:
    """A program that replaces another's function."""
    program = make.program("p", program_type=ProgramType.EXT, section="freplace/f", target="f")
    return make.image([spec("m")], [program])


def arena(make: Maker) -> Image:
    """An arena, whose address is told."""
    area = spec("arena", MapType.ARENA, key_size=0, value_size=0, map_flags=MapFlag.MMAPABLE, contents=b"data")
    return make.image([area], [make.program("p", ("map", "arena"))], arena="arena")


def struct_ops(make: Maker) -> Image:
    """A struct of operations of a module, with a program."""
    operations = StructOps(1, "shaper", {"shape": "shape"}, is_link=False)
    value = spec("ops", MapType.STRUCT_OPS, value_size=8, max_entries=1, contents=bytes(8), struct_ops=operations)
    program = make.program("shape", program_type=ProgramType.STRUCT_OPS, section="struct_ops")
    return make.image([value], [program], has_types=True)


def jump_tables(make: Maker) -> Image:
    """A program with two tables of jumps."""
    tables = (JumpTable("first", (0,), (2, 3)), JumpTable("second", (2,), (3, 4, 5)))
    return make.image([spec("m")], [make.program("p", LOAD, LOAD, ("map", "m"), jump_tables=tables)])


def exclusive(make: Maker) -> Image:
    """A map that only one program may use."""
    maps = [spec("own", exclusive_program="p"), spec("shared")]
    return make.image(maps, [make.program("p", ("map", "own"), ("map", "shared")), make.program("q")])


def far(make: Maker) -> Image:
    """So much data that it is out of reach of a load's offset."""
    maps = [data_map(f"app.data.{number}", bytes(4096)) for number in range(20)]
    table = spec("table", MapType.ARRAY_OF_MAPS, inner=inner(), slots=(Slot(1, "app.data.7"),))
    return make.image([*maps, table], [make.program("p", ("value", "app.data.19"), ("map", "table"))])


MADE: dict[str, Callable[[Maker], Image]] = {
    made.__name__: made
    for made in (
        prog_array, map_slots, many_maps, many_programs, not_loaded, data, names, options, rings, typed, targets,
        replacement, arena, struct_ops, jump_tables, exclusive, far,
    )
}  # fmt: skip
"""By name."""


def made(name: str, order: ByteOrder = ByteOrder.LITTLE) -> Image:
    """An image by its name."""
    return MADE[name](Maker(order))
