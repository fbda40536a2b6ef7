"""What whoever runs a loader program puts into its context counts, and what was given stays open."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.loader_program import CALLER_IS_KERNEL, FactKind, Scheme
from tests.loader.gen.machine import images
from tests.loader.gen.machine.kernel import Kernel
from tests.loader.gen.machine.machine import Machine
from tests.loader.gen.machine.record import Closed, MapFacts
from tests.loader.gen.machine.runs import Given, Run, context_of, endian_of, run
from tests.loader.gen.machine.script import play
from tests.loader.gen.machine.test_script_calls import GIVEN, MEMORY, ORDERS, USER, check_same, made

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpfas.elf.constants import ByteOrder
    from bpfas.loader.gen.loader_program import LoaderProgram

KERNEL_ADDRESS = 0xFFFF888000001000
FIRST = 3
"""The first descriptor that a kernel hands out."""


def kernel_with(descriptors: Sequence[tuple[str, str, MapFacts | None]], **options: object) -> Kernel:
    """A kernel with descriptors that were there before, from FIRST on."""
    kernel = Kernel(images.TYPES, images.ADDRESSES, **options)  # type: ignore[arg-type]
    for kind, name, facts in descriptors:
        kernel.give(kind, name, facts)
    return kernel


def compared(
    program: LoaderProgram,
    given: Given,
    descriptors: Sequence[tuple[str, str, MapFacts | None]] = (),
    **options: object,
) -> Run:
    """A run, which must have done what the Script says, also when calls fail; what was given is open after it."""
    memory = {"user": MEMORY, "kernel_memory": {KERNEL_ADDRESS: bytes(range(100, 200))}}
    before = kernel_with(descriptors).open_names

    def both(**options: object) -> Run:
        kernel, played = kernel_with(descriptors, **options), kernel_with(descriptors, **options)
        done = run(program, kernel, given, **memory)
        expected = play(program, played, context_of(program, given), **memory)
        check_same(done, played, expected)
        assert set(before) <= set(kernel.open_names)
        assert not any(event.name in before for event in kernel.events if isinstance(event, Closed))
        if done.result:
            assert kernel.open_names == before
        return done

    done = both(**options)
    for number in range(1, len(done.calls) + 1):
        both(**options, failures=dict.fromkeys(range(number, len(done.calls) + 20), errno.ENOSPC))
    return done


@pytest.mark.parametrize("order", ORDERS)
class TestGivenMaps:
    def test_a_map_of_maps(self, order: ByteOrder) -> None:
        program = generate(images.made("map_slots", order))
        done = compared(program, Given(maps={"table": FIRST}), [("map", "other", MapFacts(12, 4, 4))])
        assert done.result == 0
        assert done.descriptors["map table"] == FIRST
        assert "MAP_UPDATE_ELEM" not in [call.command for call in done.calls]
        assert [str(slot.imm) for slot in done.calls[-1].attributes["insns"]][:1] == ["map other"]  # type: ignore[union-attr]

    def test_what_a_map_of_maps_holds(self, order: ByteOrder) -> None:
        program = generate(images.made("map_slots", order))
        given = Given(maps={"before": FIRST, "behind": FIRST + 1})
        done = compared(program, given, [("map", "one", MapFacts(1, 4, 4)), ("map", "two", MapFacts(1, 4, 4))])
        assert done.result == 0
        updates = [call.attributes for call in done.calls if call.command == "MAP_UPDATE_ELEM"]
        assert [(each["key"], each["value"]) for each in updates] == [(1, "map two"), (3, "map one")]

    def test_data(self, order: ByteOrder) -> None:
        program = generate(images.made("data", order))
        given = Given(maps={"app.rodata": FIRST}, contents={"app.data": USER})
        done = compared(program, given, [("map", "pinned", MapFacts(2, 4, 5))])
        assert done.result == 0
        updates = [call.attributes for call in done.calls if call.command == "MAP_UPDATE_ELEM"]
        assert [(each["map_fd"], each["value"]) for each in updates] == [
            ("map app.data", MEMORY[USER][:20]),
            ("map app.bss", bytes(12)),
        ]
        assert "MAP_FREEZE" not in [call.command for call in done.calls]

    def test_all_of_many(self, order: ByteOrder) -> None:
        program = generate(images.made("many_maps", order))
        maps = {f"map_{number}": FIRST + number for number in range(70)}
        done = compared(program, Given(maps=maps), [("map", f"old_{number}", None) for number in range(70)])
        assert done.result == 0
        assert [call.command for call in done.calls] == ["PROG_LOAD"]

    def test_a_kernel_option_is_not_needed_then(self, order: ByteOrder) -> None:
        program = generate(images.made("options", order))
        done = compared(program, Given(maps={"app.kconfig": FIRST}), [("map", "options", MapFacts(2, 4, 8))])
        assert done.result == 0


@pytest.mark.parametrize("order", ORDERS)
class TestGivenNumbers:
    def test_entries(self, order: ByteOrder) -> None:
        program = generate(images.made("many_maps", order))
        done = compared(program, Given(entries={"map_3": 99, "map_69": 0xFFFFFFFF}))
        entries = [call.attributes["max_entries"] for call in done.calls if call.command == "MAP_CREATE"]
        assert [entries[number] for number in (2, 3, 4, 69)] == [4, 99, 4, 0xFFFFFFFF]

    def test_contents_of_the_kernel(self, order: ByteOrder) -> None:
        program = generate(images.made("data", order))
        given = Given(contents={"app.bss": KERNEL_ADDRESS}, flags=CALLER_IS_KERNEL)
        done = compared(program, given)
        assert done.calls[-2].attributes["value"] == bytes(range(100, 112))
        assert compared(program, given._replace(flags=0)).result == -errno.EFAULT
        of_user = Given(contents={"app.bss": USER}, flags=CALLER_IS_KERNEL)
        assert compared(program, of_user).result == -errno.EFAULT
        other_flags = of_user._replace(flags=CALLER_IS_KERNEL << 1)
        assert compared(program, other_flags).calls[-2].attributes["value"] == MEMORY[USER][:12]

    def test_logs(self, order: ByteOrder) -> None:
        program = generate(images.made("typed", order))
        done = compared(program, Given(log=(4, USER, 64)))
        for call in done.calls:
            prefix = {"PROG_LOAD": "log_", "BTF_LOAD": "btf_log_"}.get(call.command)
            if prefix:
                fields = [call.attributes[f"{prefix}{name}"] for name in ("level", "buf", "size")]
                assert fields == [4, USER, 64]

    def test_programs_that_are_not_loaded(self, order: ByteOrder) -> None:
        program = generate(images.made("many_programs", order))
        done = compared(program, Given(programs={"p0": -1, "p17": -1}))
        assert done.result == 0
        names = [call.attributes["prog_name"] for call in done.calls if call.command == "PROG_LOAD"]
        assert names == [f"p{number}" for number in range(40) if number not in (0, 17)]
        assert {name for name, number in done.descriptors.items() if not number} == {"program p0", "program p17"}

    def test_facts(self, order: ByteOrder) -> None:
        """What a program is told of the machine is where the kernel looks for it."""

        def told(name: str, command: str) -> dict[str, object]:
            subject = made(name, order)
            done = compared(subject.program, subject.given, [("program", "target", None)])
            return next(dict(call.attributes) for call in done.calls if call.command == command)

        assert told("arena", "MAP_CREATE")["map_extra"] == 0x7E0000000000
        assert told("struct_ops", "MAP_CREATE")["value_size"] == 512
        assert told("struct_ops", "PROG_LOAD")["expected_attach_type"] == 6
        replacement = told("replacement", "PROG_LOAD")
        assert (replacement["attach_btf_id"], replacement["attach_btf_obj_fd"]) == (77, "program target")

    def test_slots_of_programs_that_are_not_loaded(self, order: ByteOrder) -> None:
        program = generate(images.made("prog_array", order))
        done = compared(program, Given(programs={"b": -1}))
        updates = [call.attributes for call in done.calls if call.command == "MAP_UPDATE_ELEM"]
        assert [(each["key"], each["value"]) for each in updates] == [(2, "program a")]
        done = compared(
            program, Given(programs={"a": -1}, maps={"jumps": FIRST}), [("map", "old", MapFacts(3, 4, 4))]
        )
        assert [call.command for call in done.calls] == ["PROG_LOAD"]

    @pytest.mark.parametrize("name", ["options", "arena", "replacement", "struct_ops"])
    def test_what_is_needed_and_not_given(self, name: str, order: ByteOrder) -> None:
        subject = made(name, order)
        done = compared(subject.program, Given(), [("program", "target", None)])
        assert done.result == -errno.ENODATA
        assert done.failed_step > 0

    def test_a_token(self, order: ByteOrder) -> None:
        for name in ("typed", "struct_ops"):
            program = generate(images.made(name, order), GenOptions(token=True))
            given = GIVEN.get(name, Given())
            with_token = given._replace(facts={**given.facts, (FactKind.TOKEN, ""): FIRST})
            done = compared(program, with_token, [("token", "of the user", None)])
            assert done.result == 0
            fields = {"MAP_CREATE": ("map_flags", "map_token_fd"), "PROG_LOAD": ("prog_flags", "prog_token_fd")}
            fields["BTF_LOAD"] = ("btf_flags", "btf_token_fd")
            for call in done.calls:
                flags, token = fields[call.command]
                assert call.attributes[token] == "token of the user"
                assert int(str(call.attributes[flags])) & 1 << 16
            without = compared(program, given)
            assert not any(token in call.attributes for call in without.calls for _, token in fields.values())


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scheme", Scheme)
class TestSigned:
    def test_what_is_signed_cannot_be_changed(self, scheme: Scheme, order: ByteOrder) -> None:
        program = generate(images.made("data", order), GenOptions(scheme=scheme))
        plain = run(program, kernel_with([]))
        given = Given(entries={"app.data": 7}, contents={"app.data": USER, "app.rodata": USER})
        changed = run(program, kernel_with([]), given, user=MEMORY)
        assert changed.calls == plain.calls
        assert changed.result == plain.result == 0

    def test_other_data_are_refused(self, scheme: Scheme, order: ByteOrder) -> None:
        program = generate(images.made("data", order), GenOptions(scheme=scheme))
        changed = bytearray(program.data)
        for place in (0, len(changed) // 2, len(changed) - 1):
            changed[place] ^= 1
            kernel = kernel_with([])
            machine = Machine(
                program.instructions, program.data, kernel, endian=endian_of(program), hashed=bytes(changed)
            )
            result = machine.run(context_of(program)).result
            checks = scheme is not Scheme.INSTRUCTIONS_AND_DATA  # which the kernel does
            assert result == (-errno.EINVAL if checks else 0)
            assert bool(kernel.events) is not checks
            changed[place] ^= 1

    def test_data_of_everybody_are_refused(self, scheme: Scheme, order: ByteOrder) -> None:
        program = generate(images.made("data", order), GenOptions(scheme=scheme))
        kernel = kernel_with([])
        machine = Machine(program.instructions, program.data, kernel, endian=endian_of(program), owner=0)
        is_refused = scheme is Scheme.HASH_IN_PROGRAM
        assert machine.run(context_of(program)).result == (-errno.EINVAL if is_refused else 0)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", images.MADE)
def test_talking_programs_do_the_same(name: str, order: ByteOrder) -> None:
    subject = made(name, order)
    talking = generate(images.made(name, order), GenOptions(debug=True))
    quiet_run = run(subject.program, subject.kernel(), subject.given, user=MEMORY)
    talking_run = run(talking, subject.kernel(), subject.given, user=MEMORY)
    assert talking_run.kernel.events == quiet_run.kernel.events
    assert talking_run.outcome.context == quiet_run.outcome.context
    assert talking_run.kernel.printed
