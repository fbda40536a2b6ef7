"""kprobes, one and many, and those of system calls; and what is said where a kernel has none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.loader import load
from bpfas.loader.attach.kernel_functions import symbols
from bpfas.loader.attach.perf_event import source_type
from bpfas.loader.attach.table import attach
from bpfas.loader.errors import AttachError
from tests.loader.attach_support import HIT, read_hits, times_of_a_stat
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

FILTER = f"if (!is_me({os.getpid()})) return 0; return hit(ctx);"
ONE = f"""
SEC("kprobe/vfs_statx") int entry(void *ctx) {{ {FILTER} }}
SEC("kretprobe") int returned(void *ctx) {{ {FILTER} }}
SEC("ksyscall/getppid") int getppid_entry(void *ctx) {{ {FILTER} }}
SEC("kretsyscall/getppid") int getppid_return(void *ctx) {{ {FILTER} }}
SEC("kprobe") int bare(void *ctx) {{ return 0; }}
SEC("kprobe/vfs-statx") int malformed(void *ctx) {{ return 0; }}
"""
MANY = f"""
SEC("kprobe.multi/vfs_stat?") int many(void *ctx) {{ {FILTER} }}
SEC("kretprobe.multi") int many_returns(void *ctx) {{ {FILTER} }}
"""
SESSION = f'SEC("kprobe.session/vfs_statx") int session(void *ctx) {{ {FILTER} }}'


@needs(Need.KPROBES)
def test_function_of_the_section_with_a_cookie(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + ONE, "-g")) as app:
        with attach(app.programs["entry"], cookie=5) as link:
            assert times_of_a_stat(app) == 1
            assert read_hits(app).cookie == 5
            assert link.target == "kprobe vfs_statx"
        assert times_of_a_stat(app) == 0


@needs(Need.KPROBES)
def test_return_of_a_function_by_hand(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + ONE, "-g")) as app, attach(app.programs["returned"], function="vfs_statx"):
        assert times_of_a_stat(app) == 1


@needs(Need.KPROBES)
def test_address(compile_c: Callable[..., str]) -> None:
    (address,) = symbols()["vfs_statx"]
    with load(compile_c(HIT + ONE, "-g")) as app, attach(app.programs["entry"], address=address):
        assert times_of_a_stat(app) == 1


@needs(Need.KPROBES)
@pytest.mark.parametrize("name", ["getppid_entry", "getppid_return"])
def test_system_call_of_the_section(compile_c: Callable[..., str], name: str) -> None:
    with load(compile_c(HIT + ONE, "-g")) as app, attach(app.programs[name]):
        os.getppid()
        assert read_hits(app).times == 1


@needs(Need.TRACEFS_KPROBES)
def test_event_of_the_tracing_files_goes_with_the_link(compile_c: Callable[..., str]) -> None:
    from bpfas.loader.attach.tracefs import tracing_directory

    tracing = tracing_directory()
    assert tracing
    events: Path = tracing / "kprobe_events"
    with load(compile_c(HIT + ONE, "-g")) as app:
        for name in ("entry", "returned"):
            with attach(app.programs[name], function="vfs_statx", through="tracefs"):
                assert "vfs_statx" in events.read_text()
                assert times_of_a_stat(app) == 1
            assert "bpfas" not in events.read_text()
        with pytest.raises(AttachError, match="no function 'no_such_function'"):
            attach(app.programs["entry"], function="no_such_function", through="tracefs")
        assert "bpfas" not in events.read_text()


@needs(Need.KPROBES)
@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("entry", {"function": "vfs_statxx"}, "the kernel has no function 'vfs_statxx'.*nearest: vfs_statx"),
        ("entry", {"function": "vfs_statx", "offset": 1}, "no instruction of 'vfs_statx' begins there"),
        ("entry", {"address": 0x1000}, "no place for a probe at 0x1000"),
        ("returned", {"function": "vfs_statx", "offset": 4}, "a kretprobe has no offset"),
        ("bare", {}, r"'kprobe' does not say where.*kprobe/FUNCTION\[\+OFFSET\]"),
        ("malformed", {}, r"'vfs-statx' is not of the form FUNCTION\[\+OFFSET\]"),
    ],
)
def test_what_cannot_be_probed(compile_c: Callable[..., str], name: str, how: dict[str, Any], words: str) -> None:
    with load(compile_c(HIT + ONE, "-g")) as app, pytest.raises(AttachError, match=f"(?s){words}"):
        attach(app.programs[name], **how)


@pytest.mark.skipif(source_type("kprobe") is not None, reason="the kernel has kprobes")
def test_kernel_without_kprobes(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + ONE, "-g")) as app, pytest.raises(AttachError, match="CONFIG_KPROBES is not set"):
        attach(app.programs["entry"])


@needs(Need.KPROBE_MULTI)
def test_many_by_the_pattern_of_the_section(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + MANY, "-g")) as app, attach(app.programs["many"]) as link:
        assert link.target == "kprobe.multi vfs_stat?"
        assert times_of_a_stat(app) == 1


@needs(Need.KPROBE_MULTI)
def test_many_returns_by_names_with_cookies(compile_c: Callable[..., str]) -> None:
    with (
        load(compile_c(HIT + MANY, "-g")) as app,
        attach(app.programs["many_returns"], functions=["vfs_statfs", "vfs_statx"], cookies=[1, 2]),
    ):
        assert times_of_a_stat(app) == 1
        assert read_hits(app).cookie == 2


@needs(Need.KPROBE_MULTI)
def test_many_by_addresses(compile_c: Callable[..., str]) -> None:
    addresses = [symbols()[name][0] for name in ("vfs_statx", "vfs_statfs")]
    with load(compile_c(HIT + MANY, "-g")) as app, attach(app.programs["many"], addresses=addresses):
        assert times_of_a_stat(app) == 1


@needs(Need.KPROBE_MULTI, Need.KPROBE_SESSION)
def test_session_runs_at_entry_and_return(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + SESSION, "-g")) as app, attach(app.programs["session"]):
        assert times_of_a_stat(app) == 2


@needs(Need.KPROBE_MULTI)
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"pattern": "no_such_*"}, r"no function that the kernel can trace matches 'no_such_\*'"),
        ({"functions": ["vfs_statx", "vfs_statxx"]}, "no function 'vfs_statxx'"),
        ({"functions": ["vfs_statx"], "cookies": [1, 2]}, "2 cookies for 1 functions"),
        ({"addresses": [0x1000]}, "not the start of a function"),
        ({"functions": []}, "nothing to attach it to"),
        ({"pattern": "vfs statx"}, "not of the form PATTERN"),
    ],
)
def test_many_that_cannot_be_probed(compile_c: Callable[..., str], how: dict[str, Any], words: str) -> None:
    with load(compile_c(HIT + MANY, "-g")) as app, pytest.raises(AttachError, match=words):
        attach(app.programs["many"], **how)
