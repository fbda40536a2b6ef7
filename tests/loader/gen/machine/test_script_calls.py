"""A loader program does what its Script says, whatever fails."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bpfas.elf.constants import ByteOrder
from bpfas.loader import open_image
from bpfas.loader.gen import generate
from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.gen.script import Call, Find
from tests.loader.gen.machine import corpus, images
from tests.loader.gen.machine.attributes import BTF_LOAD, MAP_CREATE, PROG_LOAD
from tests.loader.gen.machine.kernel import Kernel
from tests.loader.gen.machine.record import Lookup
from tests.loader.gen.machine.runs import NOTHING_GIVEN, Given, Run, context_of, run
from tests.loader.gen.machine.script import Played, play

if TYPE_CHECKING:
    from pathlib import Path

    from bpfas.loader.gen.loader_program import LoaderProgram

USER = 0x7F3300010000
MEMORY = {USER: bytes(range(64))}
ORDERS = [pytest.param(order, id=order.name.lower()) for order in ByteOrder]

GIVEN = {
    "options": Given(contents={"app.kconfig": USER}),
    "arena": Given(facts={(FactKind.ARENA_ADDRESS, "arena"): 0x7E0000000000}),
    "replacement": Given(facts={(FactKind.TARGET, "p"): 3, (FactKind.TARGET_TYPE, "p"): 77}),
    "struct_ops": Given(facts={(FactKind.VALUE_SIZE, "ops"): 512, (FactKind.MEMBER_INDEX, "shape"): 6}),
}
"""What an image needs to be told."""


class Subject(NamedTuple):
    """A loader program, the names that its kernel has, and what it is told."""

    program: LoaderProgram
    types: dict[tuple[str, int], tuple[int, str]]
    addresses: dict[str, int]
    given: Given

    def kernel(self, **options: Any) -> Kernel:
        """A kernel for it, with the program that descriptor 3 stands for."""
        kernel = Kernel(options.pop("types", self.types), options.pop("addresses", self.addresses), **options)
        if any(kind is FactKind.TARGET for kind, _ in self.given.facts):
            kernel.give("program", "target")
        return kernel


def made(name: str, order: ByteOrder = ByteOrder.LITTLE) -> Subject:
    """An image made by hand."""
    program = generate(images.made(name, order))
    return Subject(program, images.TYPES, images.ADDRESSES, GIVEN.get(name, NOTHING_GIVEN))


def compiled(name: str, directory: Path) -> Subject:
    """A C object."""
    program = generate(open_image(corpus.object_of(name, directory)))
    return Subject(program, corpus.TYPES, corpus.ADDRESSES, NOTHING_GIVEN)


def check_same(done: Run, played: Kernel, expected: Played) -> None:
    """A run has done what the Script says.

    After a failure it may look up further names, and close in any order what is open.
    """
    assert done.calls == played.calls
    if not expected.result:
        assert done.kernel.events == played.events
        assert done.outcome.context == expected.context
    programs = {name for name in done.descriptors if name.startswith("program ")}
    layout = done.program.context
    start, end = (layout.programs[0].offset, layout.failed_step) if programs else (layout.failed_step,) * 2
    assert done.outcome.context[:start] == expected.context[:start]
    assert done.outcome.context[end:] == expected.context[end:]
    if expected.result:
        assert not any(done.descriptors[name] > 0 for name in programs)
    assert done.kernel.open_names == played.open_names
    assert (done.result, done.failed_step) == (expected.result, expected.failed_step)


def check(subject: Subject, **options: Any) -> Run:
    """Run a subject, which must have done what its Script says."""
    played = subject.kernel(**options)
    expected = play(subject.program, played, context_of(subject.program, subject.given), user=MEMORY)
    done = run(subject.program, subject.kernel(**options), subject.given, user=MEMORY)
    check_same(done, played, expected)
    return done


def check_success(subject: Subject) -> Run:
    """Run a subject, which succeeds: all that is open is in the context."""
    done = check(subject)
    assert done.result == 0
    assert done.failed_step == 0
    context = subject.program.context
    wanted = [f"map {entry.spec.name}" for entry in context.maps if entry.spec.autocreate]
    wanted += [f"program {entry.spec.name}" for entry in context.programs if entry.is_loaded]
    assert [name for name, descriptor in done.descriptors.items() if descriptor] == wanted
    before = subject.kernel().open
    descriptors = [descriptor for descriptor in done.descriptors.values() if descriptor]
    assert sorted(descriptors) == sorted(done.kernel.open.keys() - before.keys())
    for name, descriptor in done.descriptors.items():
        if descriptor:
            assert done.kernel.open[descriptor].kind == name.split()[0]
    return done


def check_failures(subject: Subject, errors: tuple[int, ...] = (errno.ENOMEM,)) -> None:
    """Let each call fail, and all after it; nothing stays open, and the result tells which step it was."""
    steps = subject.program.script.numbered_steps()
    calls = len(check(subject).calls)
    before = subject.kernel().open_names
    for number in range(1, calls + 1):
        for error in errors:
            failures = dict.fromkeys(range(number, calls + 40), error)
            done = check(subject, failures=failures)
            assert done.result == -error
            assert done.kernel.open_names == before
            step = steps[done.failed_step - 1]
            assert isinstance(step, Call)
            assert step.command.name == done.calls[-1].command == done.calls[number - 1].command


def check_names(subject: Subject) -> None:
    """Let each name be missing, and each look-up fail; nothing stays open after a failure."""
    before = subject.kernel().open_names
    names = {event.name for event in check(subject).kernel.events if isinstance(event, Lookup)}
    for name in names:
        done = check(
            subject,
            types={key: value for key, value in subject.types.items() if key[0] != name},
            addresses={key: value for key, value in subject.addresses.items() if key != name},
        )
        if done.result:
            assert done.result == -errno.ENOENT
            assert done.kernel.open_names == before
        done = check(subject, lookup_failures={name: errno.EMFILE})
        if done.result:
            assert done.result == -errno.EMFILE
            assert done.kernel.open_names == before
            step = subject.program.script.numbered_steps()[done.failed_step - 1]
            assert isinstance(step, Find)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", images.MADE)
class TestMade:
    def test_success(self, name: str, order: ByteOrder) -> None:
        check_success(made(name, order))

    def test_failures(self, name: str, order: ByteOrder) -> None:
        is_long = name in ("many_maps", "many_programs", "far")
        errors = (errno.ENOMEM,) if is_long else (errno.ENOMEM, errno.EINVAL, errno.EAGAIN)
        check_failures(made(name, order), errors)

    def test_names(self, name: str, order: ByteOrder) -> None:
        check_names(made(name, order))


OLDER = {MAP_CREATE: "map_extra", PROG_LOAD: "core_relo_rec_size", BTF_LOAD: "btf_log_level"}
"""The last fields that Linux 5.17 knows, the first that does CO-RE relocations."""
NEEDS_NEWER = {"struct_ops", "exclusive"}


@pytest.mark.parametrize("order", ORDERS)
class TestOtherKernels:
    def test_maps_without_types(self, order: ByteOrder) -> None:
        done = check(made("typed", order), failures={2: errno.EINVAL})
        assert done.result == 0
        first, second = done.calls[1:3]
        types = {"btf_fd": "btf", "btf_key_type_id": 1, "btf_value_type_id": 1}
        assert (first.error, first.attributes) == (errno.EINVAL, second.attributes | types)
        assert not types.keys() & second.attributes.keys()

    @pytest.mark.parametrize("page_size", [4096, 16384, 65536])
    def test_rings_of_large_pages(self, page_size: int, order: ByteOrder) -> None:
        done = check(made("rings", order), page_size=page_size)
        assert done.result == 0
        made_maps = [call.attributes for call in done.calls if call.result]
        assert [attributes["max_entries"] for attributes in made_maps] == [page_size, 131072, 8192]

    def test_pages_that_are_too_large(self, order: ByteOrder) -> None:
        assert check(made("rings", order), page_size=1 << 21).result == -errno.EINVAL

    @pytest.mark.parametrize("name", [name for name in images.MADE if name not in NEEDS_NEWER])
    def test_without_new_attributes(self, name: str, order: ByteOrder) -> None:
        assert check(made(name, order), last_fields=OLDER).result == 0

    @pytest.mark.parametrize("name", NEEDS_NEWER)
    def test_what_needs_new_attributes(self, name: str, order: ByteOrder) -> None:
        assert check(made(name, order), last_fields=OLDER).result == -errno.EINVAL


@pytest.mark.peer
@pytest.mark.any_kernel
@pytest.mark.parametrize("name", [name for name in corpus.SOURCES if name not in ("nothing", "options")])
class TestCompiled:
    def test_success(self, name: str, tmp_path: Path) -> None:
        check_success(compiled(name, tmp_path))

    def test_failures(self, name: str, tmp_path: Path) -> None:
        check_failures(compiled(name, tmp_path))

    def test_names(self, name: str, tmp_path: Path) -> None:
        check_names(compiled(name, tmp_path))
