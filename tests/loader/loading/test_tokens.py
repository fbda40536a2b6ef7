"""Loading by the right of a token, in a user namespace that has no capabilities outside of itself."""

from __future__ import annotations

import array
import ctypes
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bpfas
from bpfas.loader.errors import LoadError
from bpfas.loader.kernel.version import kernel_version, running_version

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

SOURCE = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, int); __type(value, long); }
    counts SEC(".maps");
int total = 5;
SEC("xdp") int count(struct xdp_md *ctx)
{
    int key = 1;
    long value = total++;
    bpf_map_update_elem(&counts, &key, &value, 0);
    return XDP_PASS;
}
"""

_FSOPEN, _FSCONFIG, _FSMOUNT, _MOVE_MOUNT = 430, 431, 432, 429
_SET_STRING, _CREATE = 1, 6
_EMPTY_PATH = 4
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000


def system_call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [
        ctypes.c_char_p(each) if isinstance(each, bytes | None) else ctypes.c_long(each) for each in arguments
    ]
    result: int = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def load_in_namespace(
    path: str, delegated: dict[str, str], directory: Path, token: str | None
) -> dict[str, object]:
    """What loading the object gives in a process of another user namespace that is delegated some rights.

    The file system that delegates them is mounted at `directory`, for that process alone.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            ours.close()
            theirs.sendall(json.dumps(in_namespace(path, theirs, directory, token)).encode())
        except BaseException as error:
            theirs.sendall(json.dumps({"crash": repr(error)}).encode())
        finally:
            os._exit(0)
    theirs.close()
    try:
        with ours:
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
            # Only who has the capability outside may delegate.
            for name, rights in delegated.items():
                system_call(_FSCONFIG, descriptors[0], _SET_STRING, name.encode(), rights.encode(), 0)
            system_call(_FSCONFIG, descriptors[0], _CREATE, None, None, 0)
            os.close(descriptors[0])
            ours.sendall(b"x")
            answer: dict[str, object] = json.loads(b"".join(iter(lambda: ours.recv(1 << 16), b"")))
            return answer
    finally:
        os.waitpid(child, 0)


def in_namespace(path: str, parent: socket.socket, directory: Path, token: str | None) -> dict[str, object]:
    uid, gid = os.getuid(), os.getgid()
    system_call(272, _NEW_USER | _NEW_MOUNTS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    context = system_call(_FSOPEN, b"bpf", 0)
    socket.send_fds(parent, [b"x"], list(array.array("i", [context])))
    parent.recv(1)
    mounted = system_call(_FSMOUNT, context, 0, 0)
    system_call(_MOVE_MOUNT, mounted, b"", -100, os.fsencode(directory), _EMPTY_PATH)
    try:
        with bpfas.load(path, token=token) as app:
            return {"maps": list(app.maps), "total": app.data["total"], "warnings": len(app.warnings)}
    except LoadError as error:
        return {"step": error.step.name, "errno": error.errno_name, "cause": error.cause}


EVERYTHING = dict.fromkeys(("delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs"), "any")


@pytest.fixture
def delegating(tmp_path: Path) -> Path:
    """A directory to mount on; the test is skipped where there are no tokens."""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers of the system calls are those of x86-64")
    if running_version() < kernel_version(6, 9):
        # Older file systems take the options and ignore them.
        pytest.skip("this kernel has no tokens (Linux 6.9)")
    directory = tmp_path / "token"
    directory.mkdir()
    return directory


def test_an_object_is_loaded_by_a_token(compile_c: Callable[..., str], delegating: Path) -> None:
    path = compile_c(SOURCE, "-g")
    assert load_in_namespace(path, EVERYTHING, delegating, str(delegating)) == {
        "maps": ["counts", ".data"],
        "total": 5,
        "warnings": 0,
    }


@pytest.mark.usefixtures("delegating")
@pytest.mark.parametrize("rights", [EVERYTHING, {}])
def test_a_token_of_the_usual_place_is_taken_if_there_is_one(
    compile_c: Callable[..., str], rights: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIBBPF_BPF_TOKEN_PATH", raising=False)
    answer = load_in_namespace(compile_c(SOURCE, "-g"), rights, Path("/sys/fs/bpf"), None)
    assert answer["total" if rights else "errno"] == (5 if rights else "EPERM")


def test_without_the_token_it_is_refused(compile_c: Callable[..., str], delegating: Path) -> None:
    answer = load_in_namespace(compile_c(SOURCE, "-g"), EVERYTHING, delegating, "")
    assert (answer["step"], answer["errno"]) == ("CREATE_MAP", "EPERM")
    assert "user namespace" in str(answer["cause"])


@pytest.mark.parametrize(
    ("missing", "step"), [("delegate_maps", "CREATE_MAP"), ("delegate_progs", "LOAD_PROGRAM")]
)
def test_what_is_not_delegated_is_refused(
    compile_c: Callable[..., str], delegating: Path, missing: str, step: str
) -> None:
    rights = {name: right for name, right in EVERYTHING.items() if name != missing}
    answer = load_in_namespace(compile_c(SOURCE, "-g"), rights, delegating, str(delegating))
    assert (answer["step"], answer["errno"]) == (step, "EPERM")
    assert "token" in str(answer["cause"])


def test_a_file_system_that_delegates_nothing_gives_no_token(
    compile_c: Callable[..., str], delegating: Path
) -> None:
    answer = load_in_namespace(compile_c(SOURCE, "-g"), {}, delegating, str(delegating))
    assert (answer["step"], answer["errno"]) == ("CREATE_TOKEN", "ENOENT")
    assert "delegates nothing" in str(answer["cause"])
