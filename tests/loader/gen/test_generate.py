"""What is told when a loader program is generated: what it cannot do, and what is known of `.kconfig`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import open_image
from bpfas.loader.gen import GenOptions, Scheme, generate
from bpfas.loader.gen.loader_program import ENTRIES_OFFSET, FactKind
from bpfas.loader.gen.program_steps import LOG_FIELDS
from bpfas.loader.gen.script import Address, Input, Item, Need
from bpfas.loader.kinds import MapType
from bpfas.loader.spec import Pinning
from tests.loader.gen.machine import images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader.gen.loader_program import LoaderProgram


def compiled(compile_c: Callable[..., str], declarations: str, result: str) -> str:
    """A program that returns `result`."""
    return compile_c(f'{declarations} SEC("xdp") int prog(void *ctx) {{ return {result}; }}', "-g")


@pytest.fixture
def weak(compile_c: Callable[..., str]) -> str:
    """Asks for what a kernel is, if that is known, and for one option."""
    names = ("LINUX_KERNEL_VERSION", "LINUX_HAS_BPF_COOKIE", "CONFIG_NONE")
    declared = "".join(f"extern int {name} __kconfig __weak;" for name in names)
    return compiled(compile_c, declared + "extern int CONFIG_HZ __kconfig;", " + ".join((*names, "CONFIG_HZ")))


def kconfig_of(program: LoaderProgram) -> list[int]:
    """The numbers in the value that the map `.kconfig` is made with."""
    for step in program.script.numbered_steps():
        match dict(getattr(step, "fields", ())).get("value"):
            case Address(target=Item(name="contents of .kconfig", data=data)):
                return [
                    int.from_bytes(data[at : at + 4], HOST_ORDER.name_for_int) for at in range(0, len(data), 4)
                ]
    pytest.fail("the map is not filled")


def test_what_a_signed_program_does_not_know_is_0_if_it_is_weak(weak: str) -> None:
    options = GenOptions(scheme=Scheme.INSTRUCTIONS_AND_DATA, kconfig="CONFIG_HZ=250\n")
    assert sorted(kconfig_of(generate(open_image(weak), options))) == [0, 0, 0, 250]


def test_what_a_signed_program_must_know(weak: str) -> None:
    with pytest.raises(BpfasError, match="the values of CONFIG_HZ are not known"):
        generate(open_image(weak), GenOptions(scheme=Scheme.HASH_IN_PROGRAM))


def test_what_is_no_option_is_the_running_kernels_unless_it_is_said(compile_c: Callable[..., str]) -> None:
    path = compiled(compile_c, "extern int LINUX_HAS_BPF_COOKIE __kconfig;", "LINUX_HAS_BPF_COOKIE")
    for text, is_needed in (("CONFIG_HZ=1\n", True), ("LINUX_HAS_BPF_COOKIE=1\n", False)):
        program = generate(open_image(path), GenOptions(kconfig=text))
        assert any(isinstance(step, Need) for step in program.script.numbered_steps()) is is_needed


def test_a_wrong_value_of_an_option_is_told_where_others_are_not_known(compile_c: Callable[..., str]) -> None:
    declared = "extern int CONFIG_HZ __kconfig; extern int CONFIG_NR_CPUS __kconfig;"
    path = compiled(compile_c, declared, "CONFIG_HZ + CONFIG_NR_CPUS")
    with pytest.raises(BpfasError, match="'CONFIG_HZ' is many"):
        generate(open_image(path), GenOptions(kconfig="CONFIG_HZ=many\n"))


def test_a_map_for_a_program_whose_instructions_the_kernel_changes(compile_c: Callable[..., str]) -> None:
    """The kernel would see the hash of what CO-RE has made of it."""
    image = open_image(
        compile_c(
            "struct task_struct { int pid; } __attribute__((preserve_access_index));"
            "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);"
            ' __type(value, int); } map SEC(".maps");'
            'SEC("raw_tp/x") int prog(long *ctx) { int pid;'
            " bpf_probe_read_kernel(&pid, 4, &((struct task_struct *)ctx[0])->pid);"
            " return (long)bpf_map_lookup_elem(&map, &pid); }",
            "-g",
        )
    )
    generate(image)
    image.set_map("map", exclusive_program="prog")
    with pytest.raises(BpfasError, match=r"(?s)hash cannot be known.*resolves its 1 CO-RE relocations"):
        generate(image)


def inputs_in(part: object) -> Iterator[Input]:
    """The numbers of the context that a step, or a part of one, looks at."""
    if isinstance(part, Input):
        yield part
    elif isinstance(part, tuple):
        for each in part:
            yield from inputs_in(each)


@pytest.mark.parametrize("name", sorted(images.MADE.keys() - {"options", "struct_ops"}))
def test_what_the_context_says_to_a_signed_program(name: str) -> None:
    """Nothing of what is made, but for what only the machine and its owner can know."""
    program = generate(images.made(name), GenOptions(scheme=Scheme.INSTRUCTIONS_AND_DATA, token=True))
    facts = {FactKind.TOKEN, FactKind.ARENA_ADDRESS, FactKind.TARGET, FactKind.TARGET_TYPE}
    context = program.context
    assert {fact.kind for fact in context.facts} <= facts
    allowed = {given for _, given in LOG_FIELDS}
    allowed |= {Input(fact.offset, 8) for fact in context.facts}
    allowed |= {Input(entry.offset, 4) for entry in context.programs}
    for spec, offset in context.maps:
        if spec.pin_path or spec.pinning is not Pinning.NONE:
            allowed.add(Input(offset, 4))
        if spec.map_type == MapType.PERF_EVENT_ARRAY and not spec.max_entries:
            allowed.add(Input(offset + ENTRIES_OFFSET, 4))
    assert set(inputs_in(program.script.steps)) <= allowed
