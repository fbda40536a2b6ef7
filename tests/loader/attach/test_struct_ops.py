"""struct_ops: a congestion control out of programs, registered with and without a link, and used by sockets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import load, syscall
from bpfas.loader.attach.struct_ops import StructOpsLink
from bpfas.loader.errors import AttachError
from tests.loader.kernel_support import Need, kernel_type, needs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.peer,
    needs(Need.BTF, Need.STRUCT_OPS_LINK, kernel_type("bpf_struct_ops_tcp_congestion_ops")),
    pytest.mark.usefixtures("no_leaks"),
]

SOURCE = """
struct sock;
struct tcp_congestion_ops {
    unsigned (*ssthresh)(struct sock *);
    void (*cong_avoid)(struct sock *, unsigned, unsigned);
    unsigned (*undo_cwnd)(struct sock *);
    char name[16];
};
unsigned initialised;
SEC("struct_ops") unsigned threshold(unsigned long long *ctx) { return 2; }
SEC("struct_ops") void avoid(unsigned long long *ctx) { initialised++; }
SEC("struct_ops") unsigned undo(unsigned long long *ctx) { return 10; }
SEC("SECTION") struct tcp_congestion_ops control = {
    .ssthresh = (void *)threshold, .cong_avoid = (void *)avoid, .undo_cwnd = (void *)undo, .name = "NAME",
};
"""


def is_available(name: str) -> bool:
    with socket.socket() as tried:
        try:
            tried.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except FileNotFoundError:
            return False
        return True


@pytest.mark.parametrize("section", [".struct_ops", ".struct_ops.link"])
def test_congestion_control(compile_c: Callable[..., str], section: str) -> None:
    source = SOURCE.replace("SECTION", section).replace("NAME", "bpfas_test")
    assert not is_available("bpfas_test")
    with load(compile_c(source, "-g")) as app:
        with app.attach_struct_ops("control") as link:
            assert is_available("bpfas_test")
            assert (link.fd >= 0) == (section == ".struct_ops.link")
        assert not is_available("bpfas_test")


def test_elements_are_as_the_kernel_has_them(compile_c: Callable[..., str]) -> None:
    source = SOURCE.replace("SECTION", ".struct_ops.link").replace("NAME", "bpfas_read")
    with load(compile_c(source, "-g")) as app, app.attach_struct_ops("control"):
        control = app.maps["control"]
        size = syscall.map_info(control.fd).value_size
        assert control.value_size == size > 3 * 8 + 16  # the kernel's struct has more members, and a header
        (value,) = control.values()
        assert len(value) == size
        assert b"bpfas_read\0" in value


def test_everything_at_once(compile_c: Callable[..., str]) -> None:
    source = SOURCE.replace("SECTION", ".struct_ops.link").replace("NAME", "bpfas_all")
    with load(compile_c(source, "-g")) as app:
        assert set(app.attach()) == {"control"}
        assert is_available("bpfas_all")
    assert not is_available("bpfas_all")


def test_functions_of_another_map_take_their_place(compile_c: Callable[..., str]) -> None:
    source = SOURCE.replace("SECTION", ".struct_ops.link").replace("NAME", "bpfas_swap")
    path = compile_c(source, "-g")
    with load(path) as app, load(path) as other, app.attach_struct_ops("control") as link:
        assert isinstance(link, StructOpsLink)
        with pytest.raises(AttachError):
            link.update(other.programs["undo"])
        planned = other.plan.maps["control"].struct_ops
        assert planned
        value = planned.with_programs({name: program.fd for name, program in other.programs.items()})
        link.update_map(other.maps["control"], value, replaced=app.maps["control"])
        assert is_available("bpfas_swap")
        with pytest.raises(AttachError):
            link.update_map(other.maps["control"], value, replaced=app.maps["control"])


@pytest.mark.parametrize("section", [".struct_ops", ".struct_ops.link"])
def test_name_that_is_taken(compile_c: Callable[..., str], section: str) -> None:
    source = SOURCE.replace("SECTION", section).replace("NAME", "reno")
    with load(compile_c(source, "-g")) as app, pytest.raises(AttachError, match="registered under the same name"):
        app.attach_struct_ops("control")


def test_name_that_is_missing(compile_c: Callable[..., str]) -> None:
    source = SOURCE.replace("SECTION", ".struct_ops.link").replace("NAME", "")
    with load(compile_c(source, "-g")) as app, pytest.raises(AttachError, match="does not take these functions"):
        app.attach_struct_ops("control")
