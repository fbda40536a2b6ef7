"""Links: closing, detaching, pins, what outlives a Link, what is undone; and the table of ways."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load, syscall
from bpfas.loader.attach.binary import open_binary
from bpfas.loader.attach.binary_functions import function_offset
from bpfas.loader.attach.link import KernelLink, LinkGroup, UndoneLink
from bpfas.loader.attach.perf_event import source_type
from bpfas.loader.attach.table import attach, attaches_by_section, ways
from bpfas.loader.errors import AttachError, Step
from bpfas.loader.kinds import ProgramType
from bpfas.loader.sections import SECTION_KINDS, AutoAttach, section_kind
from bpfas.loader.spec import ProgramSpec
from bpfas.loader.syscall.perf import PerfEvent, perf_event_open
from tests.loader.attach_support import HIT, read_hits
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader import Collection
    from bpfas.loader.attach.link import Link

LIVE = [
    pytest.mark.kernel,
    pytest.mark.peer,
    needs(Need.UPROBES, Need.PERF_LINK),
    pytest.mark.usefixtures("no_leaks"),
]
PROGRAMS = """
SEC("uprobe/libc.so.6:getppid") int probe(void *ctx) { return hit(ctx); }
SEC("uprobe") int bare(void *ctx) { return hit(ctx); }
SEC("syscall") int call(void *ctx) { return 0; }
SEC("raw_tp/sched_switch") int switched(void *ctx) { return 0; }
"""


@pytest.fixture
def app(compile_c: Callable[..., str]) -> Iterator[Collection]:
    with load(compile_c(HIT + PROGRAMS, "-g")) as loaded:
        yield loaded


@pytest.fixture
def pin_path() -> Iterator[Path]:
    path = Path("/sys/fs/bpf") / f"bpfas_link_{os.getpid()}"
    yield path
    path.unlink(missing_ok=True)


def is_attached(app: Collection) -> bool:
    before = read_hits(app).times
    ctypes.CDLL("libc.so.6").getppid()
    return read_hits(app).times > before


class TestLinkOfTheKernel:
    pytestmark = LIVE

    def test_closing_ends_the_attachment(self, app: Collection) -> None:
        link = attach(app.programs["probe"], pid=0)
        assert is_attached(app)
        link.close()
        assert not is_attached(app)
        assert link.fd == -1
        assert not link.is_open
        link.close()
        link.detach()

    def test_pinned_one_outlives_it(self, app: Collection, pin_path: Path) -> None:
        with attach(app.programs["probe"]) as link:
            link.pin(pin_path)
            assert link.pinned_path == str(pin_path)
            number = link.id
        assert is_attached(app)
        with KernelLink.open_pinned(pin_path) as again:
            assert again.id == number
            assert again.program == "probe"
            again.unpin()
            assert again.pinned_path is None
        assert not is_attached(app)

    def test_detaching_though_the_pin_is_gone(self, app: Collection, pin_path: Path) -> None:
        link = attach(app.programs["probe"])
        link.pin(pin_path)
        pin_path.unlink()
        with pytest.raises(AttachError, match="there is no such name any more"):
            link.detach()
        assert not is_attached(app)

    def test_detaching_undoes_the_pin(self, app: Collection, pin_path: Path) -> None:
        link = attach(app.programs["probe"])
        link.pin(pin_path)
        link.detach()
        assert not pin_path.exists()
        assert not is_attached(app)

    def test_open_by_id(self, app: Collection) -> None:
        with attach(app.programs["probe"]) as link, KernelLink.open_by_id(link.id) as other:
            assert other.info() == link.info()
            link.close()
            assert is_attached(app)

    def test_disconnected_one_keeps_its_descriptor(self, app: Collection) -> None:
        link = attach(app.programs["probe"])
        fd = link.fd
        link.close(detach=False)
        assert is_attached(app)
        os.close(fd)
        assert not is_attached(app)

    def test_disconnected_and_pinned_one_keeps_no_descriptor(self, app: Collection, pin_path: Path) -> None:
        link = attach(app.programs["probe"])
        link.pin(pin_path)
        link.close(detach=False)
        assert is_attached(app)

    def test_what_is_refused(self, app: Collection, pin_path: Path, tmp_path: Path) -> None:
        with attach(app.programs["probe"]) as link:
            with pytest.raises(AttachError, match=r"(?s)not on a BPF file system.*below /sys/fs/bpf"):
                link.pin(tmp_path / "link")
            with pytest.raises(AttachError, match="the directory does not exist"):
                link.pin(pin_path / "x" / "y")
            link.pin(pin_path)
            with pytest.raises(AttachError, match="that name is taken"):
                link.pin(pin_path)
            link.unpin()
            with pytest.raises(AttachError, match="it is not pinned"):
                link.unpin()
            with pytest.raises(AttachError, match="does not replace the program of a link of this kind") as caught:
                link.update(app.programs["bare"])
            assert caught.value.step is Step.REPLACE_PROGRAM
            assert caught.value.target == "uprobe libc.so.6:getppid"
            assert caught.value.errno_name == "EINVAL"
        with pytest.raises(AttachError, match="there is no such link"):
            KernelLink.open_pinned(pin_path)
        with pytest.raises(AttachError, match="there is no such link"):
            KernelLink.open_by_id((1 << 31) - 1)
        app.programs["probe"].pin(pin_path)
        with pytest.raises(AttachError, match="opening the link failed with EINVAL: it is a program"):
            KernelLink.open_pinned(pin_path)
        with attach(app.programs["probe"]) as other, pytest.raises(AttachError, match="there is no such link"):
            KernelLink.open_by_id((1 << 32) + other.id)
        with pytest.raises(AttachError, match="the link is closed"):
            link.info()

    def test_cleanup_is_done_with_the_attachment(self, app: Collection, pin_path: Path) -> None:
        done: list[str] = []
        for name in ("closed", "pinned"):
            cleanup = ExitStack()
            cleanup.callback(done.append, name)
            with attach(app.programs["probe"]) as link:
                link.add_cleanup(cleanup)
                if name == "pinned":
                    link.pin(pin_path)
        assert done == ["closed"]


class TestOtherLinks:
    def test_undone_once(self) -> None:
        calls: list[int] = []
        with UndoneLink("prog", "somewhere", lambda: calls.append(1)) as link:
            assert link.fd == -1
        link.close()
        link.detach()
        assert calls == [1]

    def test_disconnected_one_is_not_undone(self) -> None:
        calls: list[int] = []
        UndoneLink("prog", "somewhere", lambda: calls.append(1)).close(detach=False)
        assert not calls

    @pytest.mark.usefixtures("no_leaks")
    def test_failure_to_undo_is_told_and_the_descriptor_closed(self) -> None:
        def fail() -> None:
            raise OSError(errno.ENOENT, "gone")

        link = UndoneLink("prog", "somewhere", fail, os.open("/dev/null", os.O_RDONLY))
        with pytest.raises(AttachError, match="not attached there any more"):
            link.close()

    def test_what_needs_a_link_of_the_kernel(self) -> None:
        link = UndoneLink("prog", "somewhere", lambda: None)
        for action in (lambda: link.pin("/sys/fs/bpf/x"), link.unpin, link.info, lambda: link.id):
            with pytest.raises(AttachError, match="without one link of the kernel"):
                action()

    def test_group_ends_all_even_if_one_fails(self) -> None:
        calls: list[int] = []

        def fail() -> None:
            raise OSError(errno.ENOENT, "gone")

        members: list[Link] = [
            UndoneLink("prog", "1", lambda: calls.append(1)),
            UndoneLink("prog", "2", fail),
            UndoneLink("prog", "3", lambda: calls.append(3)),
        ]
        with pytest.raises(AttachError):
            LinkGroup("prog", "all", members).close()
        assert sorted(calls) == [1, 3]

    def test_disconnected_group(self) -> None:
        calls: list[int] = []
        LinkGroup("prog", "all", [UndoneLink("prog", "1", lambda: calls.append(1))]).close(detach=False)
        assert not calls


class TestTable:
    def test_every_section_that_attaches_by_its_name_has_a_way(self) -> None:
        for kind in SECTION_KINDS:
            if kind.auto_attach is AutoAttach.NONE:
                continue
            spec = ProgramSpec(
                "prog", "prog", "", kind.program_type, b"", expected_attach_type=kind.attach_type, kind=kind
            )
            found = [way for way in ways() if way.takes(spec) and way.auto is kind.auto_attach]
            assert len(found) == 1, kind.names

    def test_every_way_names_a_function(self) -> None:
        for way in ways():
            assert callable(way.load())

    @pytest.mark.parametrize(
        ("section", "expected"),
        [("kprobe/foo", True), ("kprobe", False), ("xdp", False), ("tp/a/b", True), ("iter/task", True)],
    )
    def test_sections_that_say_enough(self, section: str, expected: bool) -> None:
        spec = ProgramSpec("prog", "prog", section, ProgramType.KPROBE, b"", kind=section_kind(section))
        assert attaches_by_section(spec) is expected


class TestChoosing:
    pytestmark = LIVE

    def test_keywords_tell_the_way(self, app: Collection) -> None:
        with open_binary("libc.so.6") as libc:
            name, offset = os.fsencode(libc.path), function_offset(libc, "getppid")
        event = perf_event_open(PerfEvent(source_type("uprobe") or 0, name=name, config2=offset), 0, -1)
        try:
            with attach(app.programs["probe"], event=event) as link:
                assert link.target == f"perf event of descriptor {event}"
                assert is_attached(app)
            assert not is_attached(app)
        finally:
            os.close(event)

    def test_unknown_keyword(self, app: Collection) -> None:
        with pytest.raises(
            TypeError, match=r"takes no keyword functoin; it takes, by uprobe: path, function, offset"
        ):
            attach(app.programs["probe"], functoin="x")
        with pytest.raises(TypeError, match="not event, function together"):
            attach(app.programs["probe"], event="dummy", function="x")

    def test_program_of_another_type(self, app: Collection) -> None:
        with pytest.raises(AttachError, match="not of a type for this event"):
            attach(app.programs["probe"], event="dummy", period=1 << 40)

    def test_no_way(self, app: Collection) -> None:
        with pytest.raises(AttachError, match=r"(?s)type syscall .* are not attached.*run them: test_run\(\)"):
            attach(app.programs["call"])
        with pytest.raises(AttachError, match=r"(?s)not attached by 'xdp'.*they are attached by raw-tracepoint"):
            attach(app.programs["switched"], way="xdp")

    def test_way_by_name_without_what_it_needs(self, app: Collection) -> None:
        with pytest.raises(AttachError, match=r"(?s)nothing says where.*attach\(event=…\)"):
            attach(app.programs["probe"], way="perf-event")

    def test_all_programs_of_a_collection(self, app: Collection) -> None:
        assert set(app.attach()) == {"probe", "switched"}
        assert is_attached(app)
        app.detach()
        assert not is_attached(app)
        assert syscall.prog_info(app.programs["probe"].fd).name == "probe"

    def test_all_is_closed_though_one_cannot_be_detached(self, app: Collection) -> None:
        def fail() -> None:
            raise OSError(errno.EPERM, "no")

        app.attach()
        app.links["last"] = UndoneLink("prog", "somewhere", fail)
        with pytest.raises(AttachError, match="detaching the program failed with EPERM"):
            app.close()
        assert not app.links
        assert app.programs["probe"].fd == -1
