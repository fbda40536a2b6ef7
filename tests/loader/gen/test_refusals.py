"""What no loader program can do is told before one is made, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.loader import open_image
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.loader_program import Scheme
from bpfas.loader.gen.options import NO_GEN_OPTIONS
from bpfas.loader.kinds import AttachType, MapType, ProgramType
from bpfas.loader.spec import (
    CoreRelocation,
    ExternReference,
    ExternSource,
    ExternSpec,
    Image,
    KconfigKind,
    KconfigVariable,
    MapSpec,
    ProgramSpec,
    StructOps,
)
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Callable

RETURN_0 = bytes.fromhex("b700000000000000 9500000000000000")
CALL = bytes.fromhex("8500000000000000")


def refusal(image: Image, options: GenOptions = NO_GEN_OPTIONS) -> str:
    with pytest.raises(BpfasError) as raised:
        generate(image, options)
    return str(raised.value)


def program(
    name: str = "prog", section: str = "xdp", kind: ProgramType = ProgramType.XDP, **fields: Any
) -> ProgramSpec:
    return ProgramSpec(name, name, section, kind, RETURN_0)._replace(**fields)


def image_of(*specs: MapSpec | ProgramSpec, **fields: Any) -> Image:
    maps = {spec.name: spec for spec in specs if isinstance(spec, MapSpec)}
    programs = {spec.name: spec for spec in specs if isinstance(spec, ProgramSpec)}
    image = Image("app", ByteOrder.LITTLE, maps, programs)
    for name, value in fields.items():
        setattr(image, name, value)
    return image


def array_map(name: str, **fields: Any) -> MapSpec:
    return MapSpec(name, name[:15], MapType.ARRAY, 4, 8, 1)._replace(**fields)


def test_more_maps_than_a_context_can_hold() -> None:
    said = refusal(image_of(*(array_map(f"m{number}") for number in range(4100))))
    assert "4100 maps and 0 programs take a context of 65" in said
    assert "make it several objects" in said


def test_a_map_for_a_program_whose_hash_is_not_known() -> None:
    caller = program(externs=(ExternReference(0, "bpf_do"),), instructions=CALL + RETURN_0)
    externs = {"bpf_do": ExternSpec("bpf_do", ExternSource.KERNEL_FUNCTION, is_called=True)}
    said = refusal(image_of(array_map("own", exclusive_program="prog"), caller, externs=externs))
    assert "map 'own' is exclusive to program 'prog', whose hash cannot be known before it is loaded" in said
    assert "its instructions name bpf_do of the kernel" in said


def test_a_map_for_a_program_that_is_not_loaded() -> None:
    said = refusal(image_of(array_map("own", exclusive_program="prog"), program(autoload=False)))
    assert "map 'own' is exclusive to program 'prog', which is not loaded" in said


def test_many_functions_of_a_module() -> None:
    many = program(
        section="fentry.multi/nf_tables:nft_*",
        kind=ProgramType.TRACING,
        expected_attach_type=AttachType.TRACE_FENTRY_MULTI,
    )
    said = refusal(image_of(many))
    assert "program 'prog' is for many functions of module 'nf_tables'" in said
    assert "load the object directly" in said


def test_relocations_that_the_kernel_does_not_look_at() -> None:
    said = refusal(image_of(program(core=(CoreRelocation(0, 1, "0:1", 0),)), kernel_btf=b"types"))
    assert "program 'prog' has 1 CO-RE relocations, but no records of functions" in said
    assert "compile with -g" in said


@pytest.mark.peer
def test_programs_that_do_not_say_for_what(compile_c: Callable[..., str]) -> None:
    image = open_image(compile_c('SEC("fentry") int nowhere(void *context) { return 0; }', "-g"))
    image.set_program("nowhere", autoload=True)
    assert "does not say which function 'nowhere' is attached to" in refusal(image)
    image = open_image(compile_c('SEC("unheard/of") int nothing(void *context) { return 0; }', "-g"))
    assert "stands for no program type" in refusal(image)


SIGNED = GenOptions(scheme=Scheme.INSTRUCTIONS_AND_DATA)


def with_kconfig(*names: str, is_weak: bool = False) -> Image:
    variables = tuple(
        KconfigVariable(name, KconfigKind.INTEGER, 4 * number, 4, is_signed=True, is_weak=is_weak)
        for number, name in enumerate(names)
    )
    values = array_map(KCONFIG_SECTION, section=KCONFIG_SECTION, value_size=4 * len(names), frozen=True)
    return image_of(values, kconfig=variables)


def test_a_signed_program_is_told_nothing_of_the_kernel() -> None:
    said = refusal(with_kconfig("CONFIG_HZ"), SIGNED)
    assert "the values of CONFIG_HZ are not known" in said
    assert "NAME=VALUE, in a file for --kconfig" in said
    generate(with_kconfig("CONFIG_HZ"), SIGNED._replace(kconfig="CONFIG_HZ=100"))
    said = refusal(with_kconfig("LINUX_KERNEL_VERSION"), SIGNED)
    generate(with_kconfig("LINUX_KERNEL_VERSION"), SIGNED._replace(kconfig="LINUX_KERNEL_VERSION=0x61200"))
    generate(with_kconfig("CONFIG_HZ", "LINUX_KERNEL_VERSION", is_weak=True), SIGNED)


def test_a_signed_program_is_told_nothing_of_structs() -> None:
    operations = MapSpec(
        "ops", "ops", MapType.STRUCT_OPS, 4, 8, 1, struct_ops=StructOps(1, "shaper", {}, is_link=True)
    )
    said = refusal(image_of(operations), SIGNED)
    assert "map 'ops' is as long as the kernel's struct" in said
    assert "--btf FILE" in said


def test_text_of_a_configuration_that_sets_nothing() -> None:
    image = with_kconfig("CONFIG_HZ", "CONFIG_OTHER")
    assert "'CONFIG_OTHER' does not set an option" in refusal(
        image, GenOptions(kconfig="CONFIG_HZ=1\nCONFIG_OTHER")
    )
    assert "'CONFIG_HZ' is abc" in refusal(with_kconfig("CONFIG_HZ"), GenOptions(kconfig="CONFIG_HZ=abc"))
    assert generate(image, GenOptions(kconfig="CONFIG_HZ=1")).kconfig == "CONFIG_HZ=1"
