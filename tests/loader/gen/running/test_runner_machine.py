"""What the runner adds to a loader program: few calls, tokens, targets."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import TYPE_CHECKING

import pytest

import bpfas
from bpfas.loader import open_image
from bpfas.loader.errors import LoadError
from bpfas.loader.gen import GenOptions, generate, read_raw, run, write_raw
from bpfas.loader.kinds import MapType, ProgramType
from bpfas.loader.loading.execute import load_image
from bpfas.loader.loading.options import LoadOptions
from bpfas.loader.loading.pins import reuse_pinned_map
from bpfas.loader.syscall import Command
from bpfas.loader.syscall import bpf as bpf_module
from bpfas.loader.syscall.memory import map_at, unmap
from tests.loader.gen.running.test_runner import DECLARED, MAPS_AND_DATA
from tests.loader.kernel_support import Need, map_type, needs, what_is_wrong
from tests.loader.loading.test_binding_kernel import TARGET
from tests.loader.loading.test_tokens import EVERYTHING, SOURCE, delegating, load_in_namespace
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.loader.loading.collection import Collection

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]
__all__ = ["delegating"]  # a fixture


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Command]:
    """The commands of bpf(2) that this process asks for."""
    made: list[Command] = []
    number, call = bpf_module.caller()

    def counted(number: int, command: int, address: int, size: int) -> int:
        made.append(Command(command))
        return call(number, command, address, size)

    monkeypatch.setattr(bpf_module, "caller", lambda: (number, counted))
    return made


def test_a_run_takes_three_calls(compile_c: Callable[..., str], calls: list[Command]) -> None:
    program = generate(open_image(compile_c(DECLARED + MAPS_AND_DATA, "-g")))
    calls.clear()
    with run(program, LoadOptions(kconfig="CONFIG_HZ=100"), values={"threshold": 5}):
        assert calls == [Command.MAP_CREATE, Command.PROG_LOAD, Command.PROG_TEST_RUN]


def run_generated(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `bpfas.load` run a loader program that is made now."""
    program = read_raw(write_raw(generate(open_image(path), GenOptions(token=True))))

    def loaded(_: str, *, token: str | None) -> Collection:
        return run(program, LoadOptions(token=token))

    monkeypatch.setattr(bpfas, "load", loaded)


def test_a_program_works_by_the_right_of_a_token(
    compile_c: Callable[..., str], delegating: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compile_c(SOURCE, "-g")
    run_generated(path, monkeypatch)
    answer = load_in_namespace(path, EVERYTHING, delegating, str(delegating))
    assert answer == {"maps": ["counts", ".data"], "total": 5, "warnings": 0}


def test_without_the_token_it_is_refused(
    compile_c: Callable[..., str], delegating: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compile_c(SOURCE, "-g")
    run_generated(path, monkeypatch)
    answer = load_in_namespace(path, EVERYTHING, delegating, "")
    assert answer["errno"] == "EPERM"
    assert "user namespace" in str(answer["cause"])


@pytest.mark.usefixtures("delegating")
def test_outside_of_user_namespaces_a_program_for_tokens_needs_none(compile_c: Callable[..., str]) -> None:
    with run(generate(open_image(compile_c(SOURCE, "-g")), GenOptions(token=True))) as collection:
        assert collection.data["total"] == 5


@pytest.fixture
def pinned(compile_c: Callable[..., str], bpffs: Path) -> Iterator[str]:
    path = bpffs / "target"
    Peer.BPFTOOL.run("prog", "load", compile_c(TARGET, "-g", name="target"), path)
    yield str(path)
    path.unlink()


def test_a_function_of_a_loaded_program_is_replaced_or_the_kernel_says_no(
    pinned: str, compile_c: Callable[..., str]
) -> None:
    replacement = compile_c('SEC("freplace/verdict") int better(struct xdp_md *ctx) { return 1; }', "-g")
    program = generate(open_image(replacement))
    if what_is_wrong(Need.TRAMPOLINES):
        with pytest.raises(LoadError) as refused:
            run(program, LoadOptions(target=pinned))
        assert refused.value.subject == "program better"
        assert refused.value.errno_name == "EPERM"
        assert "refuses, before it verifies them, programs that replace functions" in refused.value.cause
    else:
        with run(program, LoadOptions(target=pinned)) as app:
            assert app.programs["better"].info().type == ProgramType.EXT


def test_a_failure_in_each_step_leaves_no_descriptor(
    compile_c: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the three calls is refused, and whatever goes wrong after them."""
    program = generate(open_image(compile_c(DECLARED + MAPS_AND_DATA, "-g")))
    before = sorted(os.listdir("/proc/self/fd"))
    for place in ("map_create", "prog_load", "prog_test_run"):
        with monkeypatch.context() as patched:

            def refuse(*_: object, **__: object) -> None:
                raise OSError(1, "refused")

            patched.setattr(f"bpfas.loader.syscall.{place}", refuse)
            with pytest.raises(LoadError):
                run(program)
    for place in ("Map", "Program", "Collection"):
        for until in range(4):
            with monkeypatch.context() as patched:
                made: list[int] = []
                real = getattr(__import__("bpfas.loader.gen.running.runner", fromlist=[place]), place)

                def fail(
                    *arguments: object, made: list[int] = made, real: type = real, until: int = until
                ) -> object:
                    made.append(1)
                    if len(made) > until:
                        raise KeyError("something")
                    return real(*arguments)

                patched.setattr(f"bpfas.loader.gen.running.runner.{place}", fail)
                with contextlib.suppress(KeyError):
                    run(program).close()
        assert sorted(os.listdir("/proc/self/fd")) == before


SHARED = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, int); __uint(max_entries, 1);
    __uint(pinning, LIBBPF_PIN_BY_NAME); } shared SEC(".maps");
SEC("xdp") int prog(void *ctx) { __u32 key = 0; int *v = bpf_map_lookup_elem(&shared, &key); return v ? ++*v : 0; }
"""


def test_a_map_that_another_process_has_just_pinned_is_used(
    compile_c: Callable[..., str], bpffs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program has to be loaded for that map, so everything is run once more."""
    program, options = generate(open_image(compile_c(SHARED, "-g"))), LoadOptions(pin_root=bpffs)
    answers = [None]
    patched = "bpfas.loader.gen.running.runner.reuse_pinned_map"
    monkeypatch.setattr(patched, lambda *words: answers.pop() if answers else reuse_pinned_map(*words))
    with load_image(open_image(compile_c(SHARED, "-g")), options) as first, run(program, options) as second:
        assert not answers
        assert second.maps["shared"].id == first.maps["shared"].id
        assert first.programs["prog"].test_run(bytes(64)).retval == 1
        assert second.programs["prog"].test_run(bytes(64)).retval == 2


ARENA = """
struct { __uint(type, 33); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, 10); } arena SEC(".maps");
#define __arena __attribute__((address_space(1)))
int __arena number SEC(".addr_space.1") = 40;
SEC("syscall") int prog(void *ctx) { (void)&arena; return number; }
"""


@needs(map_type(MapType.ARENA))
def test_an_arena_whose_place_is_taken_is_put_elsewhere(
    compile_c: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = generate(open_image(compile_c(ARENA, "-g")))
    taken: list[tuple[int, int]] = []
    fd = os.memfd_create("other")

    def taking(address: int, size: int) -> None:
        """Another thread maps something where the arena was to lie."""
        unmap(address, size)
        if not taken:
            taken.append((map_at(address, size, mmap.PROT_READ, fd, 0), size))

    monkeypatch.setattr("bpfas.loader.gen.running.runner.unmap", taking)
    with run(program) as collection:
        assert collection.programs["prog"].test_run().retval == 40
        assert collection.maps["arena"].memory.address != taken[0][0]
    unmap(*taken[0])
    os.close(fd)
