"""Netlink: attributes as bytes and back, and what the kernel answers."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.loader.attach.interfaces import INTERFACE_HEADER
from bpfas.loader.attach.netlink import (
    Flag,
    MessageType,
    Netlink,
    NetlinkError,
    attribute,
    attributes_of,
    nested,
    number,
    number_of,
    text,
    text_of,
)

KINDS = st.integers(1, 0x3FFF)


@given(st.dictionaries(KINDS, st.binary(max_size=40)))
def test_attributes_are_read_as_they_were_written(values: dict[int, bytes]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in values.items())
    assert len(data) % 4 == 0
    assert attributes_of(data) == values
    assert attributes_of(attributes_of(nested(7, data))[7]) == values


@given(st.binary(max_size=100))
def test_damaged_attributes_end_the_list(data: bytes) -> None:
    assert isinstance(attributes_of(data), dict)


def test_values() -> None:
    assert attributes_of(number(1, 7) + number(2, -1) + text(3, "eth0")) == {
        1: struct.pack("=I", 7),
        2: b"\xff\xff\xff\xff",
        3: b"eth0\0",
    }
    assert number_of(struct.pack("=I", 7)) == 7
    assert text_of(b"eth0\0\0") == "eth0"


def test_interfaces_are_listed() -> None:
    with Netlink() as netlink:
        answers = netlink.request(MessageType.GET_LINK, INTERFACE_HEADER.pack(0, 0, 0, 0, 0), Flag.DUMP)
    names = [text_of(attributes_of(each.payload[INTERFACE_HEADER.size :])[3]) for each in answers]
    assert sorted(names) == sorted(name for _, name in socket.if_nameindex())


@pytest.mark.kernel
def test_the_kernels_words_about_a_refusal() -> None:
    header = struct.pack("=BxxxiIII", 0, 1, 0, 0xFFFFFFFF, 0)
    with Netlink() as netlink:
        for _ in range(2):  # the socket stays usable
            with pytest.raises(NetlinkError) as caught:
                netlink.request(MessageType.NEW_QDISC, header + text(1, "nosuch"), Flag.CREATE)
            assert caught.value.errno == errno.ENOENT
            assert "qdisc" in caught.value.words
        assert netlink.request(MessageType.GET_LINK, INTERFACE_HEADER.pack(0, 0, 1, 0, 0))
