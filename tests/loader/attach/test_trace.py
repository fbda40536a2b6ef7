"""fentry, fexit, fsession, fmod_ret, tp_btf, LSM, freplace: loaded for a target and then switched on.

Also fentry and its like for many functions at once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind
from bpfas.loader import load
from bpfas.loader.attach.table import attach
from bpfas.loader.errors import AttachError
from bpfas.loader.kernel.running import RunningKernel
from tests.loader.attach_support import HIT, cgroup2_root, read_hits, times_of_a_stat
from tests.loader.kernel_support import Need, needs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

FILTER = f"if (!is_me({os.getpid()})) return 0; return hit(ctx);"
TRACED = f"""
SEC("fentry/vfs_statx") int entry(void *ctx) {{ {FILTER} }}
SEC("fexit/vfs_statx") int leave(void *ctx) {{ {FILTER} }}
SEC("tp_btf/sched_switch") int switched(void *ctx) {{ return count(0, 0); }}
"""
MODIFIED = f"""
SEC("fmod_ret/security_task_getpgid") int modified(unsigned long long *ctx)
{{ if (!is_me({os.getpid()})) return 0; hit(ctx); return -1; }}
"""
SESSION = f"""
extern _Bool bpf_session_is_return(void *ctx) __ksym;
extern unsigned long long *bpf_session_cookie(void *ctx) __ksym;
static __always_inline int session(void *ctx)
{{
    if (!is_me({os.getpid()})) return 0;
    unsigned long long *kept = bpf_session_cookie(ctx);
    if (bpf_session_is_return(ctx)) return count(bpf_get_attach_cookie(ctx) + 1, *kept);
    *kept = 23;
    return count(bpf_get_attach_cookie(ctx), 5);
}}
"""
ONE_SESSION = SESSION + 'SEC("fsession/vfs_statx") int around(void *ctx) { return session(ctx); }'
MANY = f"""
SEC("fentry.multi") int entries(void *ctx)
{{ if (!is_me({os.getpid()})) return 0; return count(bpf_get_attach_cookie(ctx), 5); }}
SEC("fexit.multi") int leaves(void *ctx)
{{ if (!is_me({os.getpid()})) return 0; return count(bpf_get_attach_cookie(ctx), 5); }}
"""
MANY_SESSIONS = SESSION + 'SEC("fsession.multi") int around(void *ctx) { return session(ctx); }'
FUNCTIONS = ("vfs_statx", "vfs_open")
LSM = f"""
SEC("lsm/file_open") int opened(void *ctx) {{ {FILTER} }}
SEC("lsm.s/inode_unlink") int unlinked(void *ctx) {{ if (!is_me({os.getpid()})) return 0; hit(ctx); return -1; }}
"""
LSM_CGROUP = 'SEC("lsm_cgroup/socket_create") int created(void *ctx) { count(0, 0); return 1; }'
REPLACED = """
__attribute__((noinline)) int pick(struct xdp_md *ctx) { volatile int chosen = 1; return ctx ? chosen : 0; }
SEC("xdp") int outer(struct xdp_md *ctx) { return pick(ctx); }
"""
REPLACEMENT = """
SEC("freplace/pick") int replacement(struct xdp_md *ctx) { return ctx ? 2 : 3; }
"""


@needs(Need.TRAMPOLINES)
@pytest.mark.parametrize("name", ["entry", "leave"])
def test_function(compile_c: Callable[..., str], name: str) -> None:
    with load(compile_c(HIT + TRACED, "-g")) as app:
        with attach(app.programs[name], cookie=17) as link:
            assert times_of_a_stat(app) == 1
            assert read_hits(app).cookie == 17
            assert "vfs_statx" in link.target
        assert times_of_a_stat(app) == 0


@needs(Need.TRAMPOLINES, Need.TRACING_SESSION)
def test_a_program_at_entry_and_return_keeps_a_value(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + ONE_SESSION, "-g")) as app:
        for cookie in (0, 2):
            with attach(app.programs["around"], cookie=cookie):
                assert times_of_a_stat(app) == (1 if cookie == 0 else 0)
            assert (read_hits(app, cookie), read_hits(app, cookie + 1)) == ((1, 5), (1, 23))
        assert times_of_a_stat(app) == 0


@pytest.fixture
def function_ids() -> list[int]:
    with RunningKernel() as kernel:
        types = kernel.types
        assert types
        functions = {name: types.ids_named(name) for name in FUNCTIONS}
        return [next(id_ for id_ in ids if types.btf.kind(id_) is Kind.FUNC) for ids in functions.values()]


@needs(Need.TRAMPOLINES, Need.TRACING_MULTI)
@pytest.mark.parametrize("name", ["entries", "leaves"])
def test_many_functions_by_one_link(compile_c: Callable[..., str], function_ids: list[int], name: str) -> None:
    with load(compile_c(HIT + MANY, "-g")) as app:
        program = app.programs[name]
        with attach(program, type_ids=function_ids, cookies=[1, 2]) as link:
            assert "2 functions" in link.target
            stat_and_open()
            assert (read_hits(app, 1), read_hits(app, 2)) == ((1, 5), (1, 5))
        with attach(program, type_ids=function_ids):
            stat_and_open()
            assert read_hits(app) == (2, 5)
        with pytest.raises(AttachError, match="there are 1 cookies for 2 functions"):
            attach(program, type_ids=function_ids, cookies=[1])
        with pytest.raises(AttachError):
            attach(program, type_ids=[1, 2])
        stat_and_open()
        assert [read_hits(app, key).times for key in range(3)] == [2, 1, 1]


@needs(Need.TRAMPOLINES, Need.TRACING_MULTI)
def test_sessions_of_many_functions(compile_c: Callable[..., str], function_ids: list[int]) -> None:
    with load(compile_c(HIT + MANY_SESSIONS, "-g")) as app:
        with attach(app.programs["around"], type_ids=function_ids, cookies=[0, 2]):
            stat_and_open()
        assert [read_hits(app, key) for key in range(4)] == [(1, 5), (1, 23)] * 2


def stat_and_open() -> None:
    """Call each of FUNCTIONS once."""
    os.stat("/")
    os.close(os.open("/proc", os.O_RDONLY))


@needs(Need.TRAMPOLINES)
def test_tracepoint_with_types(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + TRACED, "-g")) as app, attach(app.programs["switched"]):
        time.sleep(0.02)
        assert read_hits(app).times > 0


@needs(Need.TRAMPOLINES)
def test_everything_that_sections_name_at_once(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + TRACED, "-g")) as app:
        assert set(app.attach()) == {"entry", "leave", "switched"}
        assert times_of_a_stat(app) >= 2
        app.detach()
        assert times_of_a_stat(app) == 0


@needs(Need.TRAMPOLINES)
def test_changed_return_value(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + MODIFIED, "-g")) as app:
        with attach(app.programs["modified"]), pytest.raises(PermissionError):
            os.getpgid(os.getpid())
        assert os.getpgid(os.getpid()) >= 0


@needs(Need.BPF_LSM)
def test_security_hooks(compile_c: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.touch()
    with load(compile_c(HIT + LSM, "-g")) as app:
        with attach(app.programs["opened"]), attach(app.programs["unlinked"]):
            Path("/etc/passwd").read_bytes()
            assert read_hits(app).times >= 1
            with pytest.raises(PermissionError):
                file.unlink()
        file.unlink()


@needs(Need.TRAMPOLINES, Need.LSM_CGROUP, Need.CGROUP2)
def test_security_hook_of_a_cgroup(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + LSM_CGROUP, "-g")) as app:
        program = app.programs["created"]
        with pytest.raises(AttachError, match=r"attach\(cgroup=…\)"):
            attach(program)
        with pytest.raises(AttachError, match="no cgroup of version 2"):
            attach(program, cgroup="/tmp")
        with attach(program, cgroup=cgroup2_root()) as link:
            import socket

            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
            assert read_hits(app).times >= 1
            assert link.info().prog_id == program.info().id


@needs(Need.TRAMPOLINES)
def test_replaced_function(compile_c: Callable[..., str]) -> None:
    with load(compile_c(REPLACED, "-g", name="outer")) as app:
        outer = app.programs["outer"]
        packet = bytes(64)
        assert outer.test_run(packet).retval == 1
        target = outer.info().id
        with load(compile_c(REPLACEMENT, "-g", name="inner"), target=target) as other:
            with attach(other.programs["replacement"]):
                assert outer.test_run(packet).retval == 2
            assert outer.test_run(packet).retval == 1


@needs(Need.TRAMPOLINES)
def test_replaced_function_of_another_program(compile_c: Callable[..., str]) -> None:
    with (
        load(compile_c(REPLACED, "-g", name="outer")) as app,
        load(compile_c(REPLACED, "-g", name="second")) as second,
        load(compile_c(REPLACEMENT, "-g", name="inner"), target=app.programs["outer"].info().id) as other,
    ):
        replacement, victim = other.programs["replacement"], second.programs["outer"]
        with pytest.raises(AttachError, match=r"it has no function 'pikc'(?s:.*)nearest: pick"):
            attach(replacement, target=victim, function="pikc")
        with attach(replacement, target=victim, function="pick"):
            assert victim.test_run(bytes(64)).retval == 2
            assert app.programs["outer"].test_run(bytes(64)).retval == 1
        assert victim.test_run(bytes(64)).retval == 1


@needs(Need.TRAMPOLINES)
def test_program_is_attached_once(compile_c: Callable[..., str]) -> None:
    with load(compile_c(HIT + TRACED, "-g")) as app:
        program = app.programs["entry"]
        with attach(program), pytest.raises(AttachError, match="EBUSY") as caught:
            attach(program)
        assert "attached already" in caught.value.cause
