"""Tracepoints with records and raw, and perf events."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.loader import load
from bpfas.loader.attach.perf_event import PerfType
from bpfas.loader.attach.table import attach
from bpfas.loader.attach.tracefs import tracing_directory
from bpfas.loader.errors import AttachError
from bpfas.loader.syscall.perf import PerfEvent, perf_event_open
from tests.loader.attach_support import HIT, read_hits, tracefs
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["tracefs"]
pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

PROGRAMS = """
SEC("tp/sched/sched_switch") int switched(void *ctx) { return hit(ctx); }
SEC("tracepoint") int bare(void *ctx) { return hit(ctx); }
SEC("tp/sched") int half(void *ctx) { return hit(ctx); }
SEC("raw_tp/sched_switch") int raw(void *ctx) { return count(0, 0); }
SEC("raw_tp/sys_enter") int raw_with_cookie(void *ctx) { return count(0, 0); }
SEC("raw_tp") int raw_bare(void *ctx) { return count(0, 0); }
SEC("perf_event") int sample(void *ctx) { return hit(ctx); }
"""
WITH_COOKIE = """
SEC("raw_tp/sched_switch") int raw(void *ctx) { return hit(ctx); }
"""


@pytest.mark.usefixtures("tracefs")
def test_tracepoint_of_the_section(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + PROGRAMS, "-g")) as app:
        with attach(app.programs["switched"], cookie=12) as link:
            time.sleep(0.01)
            assert read_hits(app).times > 0
            assert read_hits(app).cookie == 12
            assert link.target == "tracepoint sched/sched_switch"
        times = read_hits(app).times
        time.sleep(0.01)
        assert read_hits(app).times == times


@pytest.mark.usefixtures("tracefs")
def test_tracepoint_by_hand_in_one_process(compile_c: Callable[..., str]) -> None:
    with (
        load(compile_c(HIT + PROGRAMS, "-g")) as app,
        attach(app.programs["bare"], category="syscalls", name="sys_enter_getppid", pid=0),
    ):
        os.getppid()
        assert read_hits(app).times == 1


@pytest.mark.usefixtures("tracefs")
@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("bare", {}, r"'tracepoint' does not say where.*tracepoint/CATEGORY/NAME"),
        ("half", {}, "'sched' is not of the form CATEGORY/NAME"),
        ("bare", {"category": "sched", "name": "sched_swich"}, "no tracepoint 'sched/sched_swich'.*sched_switch"),
        ("bare", {"category": "shed", "name": "sched_x"}, "no tracepoints 'shed'.*nearest: sched"),
        ("bare", {"category": "irq", "name": "sched_switch"}, "there is sched/sched_switch"),
        ("raw", {"name": "sched_swich"}, "no raw tracepoint 'sched_swich'.*nearest: sched_switch"),
        ("raw", {"name": "sched/sched_switch"}, "leave the category out: sched_switch"),
        ("raw_bare", {}, "'raw_tp' does not say where.*raw_tp/NAME"),
        ("sample", {"event": "cpu-clok"}, "'cpu-clok' is none of the events with names"),
    ],
)
def test_what_there_is_not(compile_c: Callable[..., str], name: str, how: dict[str, Any], words: str) -> None:
    with load(compile_c(HIT + PROGRAMS, "-g")) as app, pytest.raises(AttachError, match=f"(?s){words}"):
        attach(app.programs[name], **how)


def test_tracing_files_are_not_mounted(compile_c: Callable[..., str]) -> None:
    if tracing_directory() is not None:
        pytest.skip("they are mounted")
    with (
        load(compile_c(HIT + PROGRAMS, "-g")) as app,
        pytest.raises(AttachError, match="mount -t tracefs tracefs /sys/kernel/tracing"),
    ):
        attach(app.programs["switched"])


def test_raw_tracepoint(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + PROGRAMS, "-g")) as app, attach(app.programs["raw"]) as link:
        time.sleep(0.01)
        assert read_hits(app).times > 0
        assert link.info().prog_id == app.programs["raw"].info().id


def test_raw_tracepoint_with_a_cookie(compile_c: Callable[..., str]) -> None:
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    assert release
    if (int(release[1]), int(release[2])) < (6, 9):
        pytest.skip("cookies of raw tracepoints came with Linux 6.9")
    with load(compile_c(HIT + WITH_COOKIE, "-g")) as app, attach(app.programs["raw"], cookie=21):
        time.sleep(0.01)
        assert read_hits(app).cookie == 21


@needs(Need.PERF_LINK)
@pytest.mark.parametrize("how", [{"frequency": 1000}, {"period": 1_000_000}, {"pid": 0, "period": 100_000}])
def test_sampling(compile_c: Callable[..., str], how: dict[str, Any]) -> None:
    with (
        load(compile_c(HIT + PROGRAMS, "-g")) as app,
        attach(app.programs["sample"], event="cpu-clock", cookie=4, **how),
    ):
        end = time.monotonic() + 60
        while not read_hits(app).times and time.monotonic() < end:
            sum(range(1000))
        assert read_hits(app).times > 0
        assert read_hits(app).cookie == 4


def test_event_that_is_open(compile_c: Callable[..., str]) -> None:
    event = perf_event_open(PerfEvent(PerfType.SOFTWARE, 0, period=100_000), 0, -1)
    try:
        with (
            load(compile_c(HIT + PROGRAMS, "-g")) as app,
            attach(app.programs["sample"], event=event) as link,
        ):
            end = time.monotonic() + 60
            while not read_hits(app).times and time.monotonic() < end:
                sum(range(1000))
            assert read_hits(app).times > 0
            assert link.target == f"perf event of descriptor {event}"
    finally:
        os.close(event)
