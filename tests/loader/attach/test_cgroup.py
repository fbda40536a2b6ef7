"""Programs on a control group of the test's own, driven by what a process in it does."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bpfas.loader import load
from bpfas.loader.attach.cgroup import CGROUP_TYPES, cgroup_programs, hook_name
from bpfas.loader.attach.link import KernelLink
from bpfas.loader.attach.order import FIRST, after, before
from bpfas.loader.attach.table import attach
from bpfas.loader.errors import AttachError
from bpfas.loader.kinds import AttachType, ProgramType
from tests.loader.kernel_support import needs, program_type
from tests.loader.network import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.loader import Collection
    from bpfas.loader.attach.link import Link
    from bpfas.loader.runtime.programs import Program

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks", "network")]

LOCALHOST, PORT, OTHER_PORT = "127.0.0.1", 7001, 7002


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group that this process is in."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    if not roots:
        pytest.skip("no cgroup2 file system is mounted")
    own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    before = roots[0] / own.removeprefix("0::").lstrip("/")
    group = roots[0] / f"bpfas-test-{os.getpid()}"
    group.mkdir()
    (group / "cgroup.procs").write_text(str(os.getpid()))
    yield group
    (before / "cgroup.procs").write_text(str(os.getpid()))
    group.rmdir()


def number(app: Collection, section: str = ".bss") -> int:
    return int(struct.unpack_from("=i", app.maps[section][bytes(4)])[0])


def udp(family: int = socket.AF_INET) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE)
    return made


def home(family: int) -> str:
    return LOCALHOST if family == socket.AF_INET else "::1"


def counted(section: str, body: str = "", verdict: int = 1, context: str = "void") -> str:
    return f'int hits; SEC("{section}") int prog({context} *ctx) {{ hits++; {body} return {verdict}; }}'


# -- Packets --


@pytest.mark.parametrize("way", ["cgroup", "cgroup-attach"])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_packets(compile_c: Callable[..., str], cgroup: Path, direction: str, way: str) -> None:
    source = counted(f"cgroup_skb/{direction}", context="struct __sk_buff")
    with load(compile_c(source)) as app, udp() as sender, udp() as receiver:
        receiver.bind((LOCALHOST, PORT))
        with attach(app.programs["prog"], way=way, cgroup=cgroup) as link:
            assert isinstance(link, KernelLink) == (way == "cgroup")
            sender.sendto(b"x", (LOCALHOST, PORT))
            assert receiver.recv(10) == b"x"
            assert number(app) == 1
        sender.sendto(b"y", (LOCALHOST, PORT))
        assert receiver.recv(10) == b"y"
        assert number(app) == 1


def test_packets_of_a_section_that_does_not_say_which(compile_c: Callable[..., str], cgroup: Path) -> None:
    with load(compile_c(counted("cgroup/skb", verdict=0))) as app, udp() as sender:
        program = app.programs["prog"]
        with pytest.raises(AttachError, match="does not say where in the control group") as caught:
            attach(program, cgroup=cgroup)
        assert "hook=ingress (" in caught.value.remedy
        assert caught.value.remedy.endswith("it may be ingress, egress")
        with pytest.raises(ValueError, match="hook is 'bind4', not one of ingress, egress"):
            attach(program, cgroup=cgroup, hook="bind4")
        for hook in ("egress", AttachType.CGROUP_INET_EGRESS):
            with attach(program, cgroup=cgroup, hook=hook), pytest.raises(PermissionError):
                sender.sendto(b"x", (LOCALHOST, PORT))
        sender.sendto(b"x", (LOCALHOST, PORT))


# -- Sockets --


def test_sockets_are_refused(compile_c: Callable[..., str], cgroup: Path) -> None:
    for section in ("cgroup/sock_create", "cgroup/sock"):
        source = counted(section, "if (ctx->type == 2) return 0;", context="struct bpf_sock")
        with load(compile_c(source)) as app:
            with attach(app.programs["prog"], cgroup=cgroup):
                with pytest.raises(PermissionError):
                    udp()
                socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
                assert number(app) == 2
            udp().close()


def test_sockets_that_are_released(compile_c: Callable[..., str], cgroup: Path) -> None:
    with load(compile_c(counted("cgroup/sock_release", context="struct bpf_sock"))) as app:
        with attach(app.programs["prog"], cgroup=cgroup), udp():
            assert number(app) == 0
        with attach(app.programs["prog"], cgroup=cgroup):
            udp().close()
        assert number(app) >= 1


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_sockets_that_are_bound(compile_c: Callable[..., str], cgroup: Path, family: int) -> None:
    version = 4 if family == socket.AF_INET else 6
    body = f"if (ctx->src_port == {PORT}) return 0;"
    with load(compile_c(counted(f"cgroup/post_bind{version}", body, context="struct bpf_sock"))) as app:
        with attach(app.programs["prog"], cgroup=cgroup), udp(family) as made:
            with pytest.raises(PermissionError):
                made.bind((home(family), PORT))
            made.bind((home(family), OTHER_PORT))
        assert number(app) == 2


# -- Addresses --

TO_OTHER = f"ctx->user_port = __builtin_bswap16({OTHER_PORT});"


@contextlib.contextmanager
def attached(app: Collection, cgroup: Path) -> Iterator[None]:
    with attach(app.programs["prog"], cgroup=cgroup):
        yield
    assert number(app) == 1


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("hook", ["bind", "connect", "sendmsg", "recvmsg", "getpeername", "getsockname"])
def test_addresses_are_rewritten(compile_c: Callable[..., str], cgroup: Path, family: int, hook: str) -> None:
    section = f"cgroup/{hook}{4 if family == socket.AF_INET else 6}"
    here, there = (home(family), PORT), (home(family), OTHER_PORT)
    source = counted(section, TO_OTHER, context="struct bpf_sock_addr")
    with load(compile_c(source)) as app, udp(family) as one, udp(family) as two:
        if hook == "bind":
            with attached(app, cgroup):
                one.bind(here)
            assert one.getsockname()[:2] == there
        elif hook == "connect":
            with attached(app, cgroup):
                one.connect(here)
            assert one.getpeername()[:2] == there
        elif hook == "sendmsg":
            two.bind(there)
            with attached(app, cgroup):
                one.sendto(b"redirected", here)
            assert two.recv(20) == b"redirected"
        elif hook == "recvmsg":
            one.bind((home(family), 0))
            two.bind(here)
            one.sendto(b"x", here)
            with attached(app, cgroup):
                assert two.recvfrom(20)[1][:2] == there
        elif hook == "getpeername":
            one.connect(here)
            with attached(app, cgroup):
                assert one.getpeername()[:2] == there
            assert one.getpeername()[:2] == here
        else:
            one.bind(here)
            with attached(app, cgroup):
                assert one.getsockname()[:2] == there
            assert one.getsockname()[:2] == here


@needs(program_type(ProgramType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UNIX_CONNECT))
@pytest.mark.parametrize("hook", ["connect", "sendmsg", "recvmsg", "getpeername", "getsockname"])
def test_unix_addresses(compile_c: Callable[..., str], cgroup: Path, tmp_path: Path, hook: str) -> None:
    may_refuse = hook in ("connect", "sendmsg")
    source = counted(f"cgroup/{hook}_unix", verdict=0 if may_refuse else 1, context="struct bpf_sock_addr")
    path = str(tmp_path / "socket")
    with (
        load(compile_c(source)) as app,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        server.bind(path)
        client.bind(path + "2")
        if hook == "getpeername":
            client.connect(path)
        if hook == "recvmsg":
            client.sendto(b"x", path)
        uses: dict[str, Callable[[], object]] = {
            "connect": lambda: client.connect(path),
            "sendmsg": lambda: client.sendto(b"x", path),
            "recvmsg": lambda: server.recvfrom(10),
            "getpeername": client.getpeername,
            "getsockname": client.getsockname,
        }
        refused = pytest.raises(PermissionError) if may_refuse else contextlib.nullcontext()
        with attach(app.programs["prog"], cgroup=cgroup), refused:
            uses[hook]()
        assert number(app) == 1
        if hook != "recvmsg":
            uses[hook]()
        assert number(app) == 1


# -- Options, events, devices, sysctls --


def test_socket_options_are_set(compile_c: Callable[..., str], cgroup: Path) -> None:
    body = "if (ctx->level == 1 && ctx->optname == 12) return 0;"  # SOL_SOCKET, SO_PRIORITY
    with load(compile_c(counted("cgroup/setsockopt", body, context="struct bpf_sockopt"))) as app, udp() as made:
        with attach(app.programs["prog"], cgroup=cgroup), pytest.raises(PermissionError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 3)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 3)
        assert number(app) == 1


def test_socket_options_are_asked_for(compile_c: Callable[..., str], cgroup: Path) -> None:
    body = """
        if (ctx->level == 1 && ctx->optname == 12) {
            int *value = ctx->optval;
            if (value + 1 <= (int *)ctx->optval_end) { *value = 1234; ctx->retval = 0; }
        }"""
    with load(compile_c(counted("cgroup/getsockopt", body, context="struct bpf_sockopt"))) as app, udp() as made:
        with attach(app.programs["prog"], cgroup=cgroup):
            assert made.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 1234
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 0
        assert number(app) == 1


def test_devices(compile_c: Callable[..., str], cgroup: Path) -> None:
    body = "if (ctx->major == 1 && ctx->minor == 5) return 0;"  # /dev/zero
    source = counted("cgroup/dev", body, context="struct bpf_cgroup_dev_ctx")
    with load(compile_c(source)) as app:
        with attach(app.programs["prog"], cgroup=cgroup):
            with pytest.raises(PermissionError):
                os.open("/dev/zero", os.O_RDONLY)
            os.close(os.open("/dev/null", os.O_RDONLY))
            assert number(app) == 2
        os.close(os.open("/dev/zero", os.O_RDONLY))


def test_sysctls(compile_c: Callable[..., str], cgroup: Path) -> None:
    source = counted("cgroup/sysctl", "if (ctx->write) return 1;", verdict=0, context="struct bpf_sysctl")
    name = Path("/proc/sys/kernel/ostype")
    with load(compile_c(source)) as app:
        with attach(app.programs["prog"], cgroup=cgroup), pytest.raises(PermissionError):
            name.read_text()
        assert name.read_text() == "Linux\n"
        assert number(app) == 1


def test_events_of_tcp_sockets(compile_c: Callable[..., str], cgroup: Path) -> None:
    body = "if (ctx->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) hits--;"
    with load(compile_c(counted("sockops", body, context="struct bpf_sock_ops"))) as app:
        with attach(app.programs["prog"], cgroup=cgroup), socket.create_server((LOCALHOST, PORT)):
            socket.create_connection((LOCALHOST, PORT), timeout=PATIENCE).close()
        assert number(app) == 1


# -- Sharing and order --

ORDERED = """\
int turn, turns[4];
#define PROG(name, which) \\
    SEC("cgroup_skb/egress") int name(struct __sk_buff *skb) { turns[which] = ++turn; return 1; }
PROG(one, 0) PROG(two, 1) PROG(three, 2)
"""


def turns(app: Collection) -> list[int]:
    """When each program had its turn for a packet."""
    start = app.maps[".bss"].raw[bytes(4)]
    with udp() as sender:
        sender.sendto(b"x", (LOCALHOST, PORT))
    after_it = app.maps[".bss"].raw[bytes(4)]
    turn = struct.unpack_from("=i", start)[0]
    values = [each - turn for each in struct.unpack("=5i", after_it)[1:4]]
    return [max(each, 0) for each in values]


def ids(*programs: Program) -> list[int]:
    return [each.info().id for each in programs]


def test_how_programs_share_a_hook(compile_c: Callable[..., str], cgroup: Path) -> None:
    with load(compile_c(ORDERED)) as app:
        one, two, three = (app.programs[name] for name in ("one", "two", "three"))
        egress = AttachType.CGROUP_INET_EGRESS
        with attach(one, cgroup=cgroup, sharing="override"):
            assert cgroup_programs(cgroup, egress).flags == 1
            with pytest.raises(AttachError, match="do not share the hook") as caught:
                attach(two, cgroup=cgroup)
            assert "bpftool cgroup tree" in caught.value.remedy
            # Without sharing, the second takes the first one's place.
            with attach(two, cgroup=cgroup, sharing="override") as second:
                assert [each.program_id for each in cgroup_programs(cgroup, egress).programs] == ids(two)
                second.update(one)
                assert [each.program_id for each in cgroup_programs(cgroup, egress).programs] == ids(one)
                with pytest.raises(AttachError):
                    second.update(two, replaced=three)
                second.close(detach=False)
            with pytest.raises(ValueError, match="sharing is 'some', not one of exclusive, override, multi"):
                attach(one, cgroup=cgroup, sharing="some")
        assert cgroup_programs(cgroup, egress).programs == []
        with attach(one, cgroup=cgroup, sharing="multi"), attach(two, cgroup=cgroup) as second:
            assert turns(app) == [1, 2, 0]
            with attach(three, cgroup=cgroup, replaces=one):
                assert turns(app) == [0, 2, 1]
            second.update(one)
            assert turns(app) == [1, 0, 0]


def test_groups_below(compile_c: Callable[..., str], cgroup: Path) -> None:
    below = cgroup / "below"
    below.mkdir()
    with load(compile_c(ORDERED)) as app:
        one, two = app.programs["one"], app.programs["two"]
        (below / "cgroup.procs").write_text(str(os.getpid()))
        try:
            with attach(two, cgroup=below):
                with attach(one, cgroup=cgroup):
                    found = cgroup_programs(below, AttachType.CGROUP_INET_EGRESS, effective=True).programs
                    assert set(ids(one, two)) <= {each.program_id for each in found}
                    assert turns(app)[:2] == [2, 1]
                for way in ("cgroup", "cgroup-attach"):
                    if link := attach_or_skip(one, way=way, cgroup=cgroup, preorder=True):
                        with link:
                            assert turns(app)[:2] == [1, 2]
        finally:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))
            below.rmdir()


def attach_or_skip(program: Program, **how: Any) -> Link | None:
    """The link; None on a kernel whose control groups have no order, and which says so."""
    try:
        link: Link = attach(program, **how)
    except AttachError as error:
        if "control groups have an order since Linux 6.17" in error.cause and kernel() < (6, 17):
            return None
        raise
    return link


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


def test_the_order_of_programs(compile_c: Callable[..., str], cgroup: Path) -> None:
    with load(compile_c(ORDERED)) as app:
        one, two, three = (app.programs[name] for name in ("one", "two", "three"))
        for way in ("cgroup", "cgroup-attach"):
            with attach(one, way=way, cgroup=cgroup) as first:
                link = attach_or_skip(two, way=way, cgroup=cgroup, order=FIRST)
                if link is None:
                    pytest.skip("control groups have no order in this kernel (Linux 6.17)")
                with link:
                    assert turns(app) == [2, 1, 0]
                    neighbours = (after(link), before(first)) if way == "cgroup" else (after(two), before(one))
                    for neighbour in neighbours:
                        with attach(three, way=way, cgroup=cgroup, order=neighbour):
                            assert turns(app) == [3, 1, 2]
                    if way == "cgroup":
                        with pytest.raises(AttachError, match="goes next to a link, not next to a program"):
                            attach(three, way=way, cgroup=cgroup, order=after(two))
                    revision = cgroup_programs(cgroup, AttachType.CGROUP_INET_EGRESS).revision
                    with attach(three, way=way, cgroup=cgroup, expected_revision=revision):
                        assert turns(app) == [2, 1, 3]
                    with pytest.raises(AttachError, match="have changed since"):
                        attach(three, way=way, cgroup=cgroup, expected_revision=revision)
        with attach(one, cgroup=cgroup) as first:
            with pytest.raises(AttachError, match="goes next to a program without one"):
                attach(two, way="cgroup-attach", cgroup=cgroup, order=before(first))
            with pytest.raises(AttachError, match="is not attached there"):
                attach(two, way="cgroup-attach", cgroup=cgroup, order=before(three))


# -- Errors, pins --


def test_what_is_no_control_group(compile_c: Callable[..., str], tmp_path: Path) -> None:
    with load(compile_c(ORDERED)) as app:
        one = app.programs["one"]
        for way in ("cgroup", "cgroup-attach"):
            with pytest.raises(AttachError, match="no directory of a cgroup2 file system") as caught:
                attach(one, way=way, cgroup=tmp_path)
            assert "version 2" in caught.value.remedy
            with pytest.raises(AttachError, match="cannot open /nowhere: No such file or directory"):
                attach(one, way=way, cgroup="/nowhere")
            with pytest.raises(AttachError, match="descriptor 4711"):
                attach(one, way=way, cgroup=4711)
        with pytest.raises(AttachError, match="no directory of a cgroup2 file system"):
            cgroup_programs(tmp_path, AttachType.CGROUP_INET_EGRESS)


def test_a_control_group_by_its_descriptor(compile_c: Callable[..., str], cgroup: Path) -> None:
    fd = os.open(cgroup, os.O_RDONLY)
    with load(compile_c(ORDERED)) as app:
        for way in ("cgroup", "cgroup-attach"):
            with attach(app.programs["one"], way=way, cgroup=fd):
                assert turns(app)[0] == 1
            assert turns(app)[0] == 0
    os.close(fd)


def test_a_program_that_is_twice_there(compile_c: Callable[..., str], cgroup: Path) -> None:
    with load(compile_c(ORDERED)) as app, attach(app.programs["one"], way="cgroup-attach", cgroup=cgroup):
        with pytest.raises(AttachError) as caught:
            attach(app.programs["one"], way="cgroup-attach", cgroup=cgroup)
        assert caught.value.cause


def test_links_are_pinned_and_detached(compile_c: Callable[..., str], cgroup: Path, bpffs: Path) -> None:
    with load(compile_c(ORDERED)) as app:
        with attach(app.programs["one"], cgroup=cgroup) as link:
            link.pin(bpffs / "link")
        assert turns(app)[0] == 1
        with KernelLink.open_pinned(bpffs / "link") as found:
            found.update(app.programs["two"], replaced=app.programs["one"])
            assert turns(app) == [0, 1, 0]
            found.detach()
        assert turns(app) == [0, 0, 0]


def test_the_names_of_hooks() -> None:
    names = [hook_name(each) for types in CGROUP_TYPES.values() for each in types]
    assert len(set(names)) == len(names) == 28
    assert {"ingress", "sock_create", "post_bind4", "bind6", "sendmsg4", "connect_unix", "dev"} <= set(names)
    assert {"sysctl", "getsockopt", "sock_ops", "getsockname6", "recvmsg_unix"} <= set(names)
