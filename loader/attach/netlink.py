"""rtnetlink, as much of it as attaching takes: requests made of attributes, and the kernel's answers and errors.

What the messages are about is left to `interfaces` (interfaces and their XDP program), `tc` and `lwt`. The network
namespace is that of the calling thread when the Netlink is opened. Sources: include/uapi/linux/netlink.h and
rtnetlink.h, netlink(7), and the kernel's document userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import enum
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOL_NETLINK = 270
_NETLINK_ROUTE = 0
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ALIGNMENT = 4
_NESTED = 1 << 15
_TYPE_MASK = 0x3FFF
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_FIRST_PAYLOAD_TYPE = 0x10
_ERROR_MESSAGE = 1  # NLMSGERR_ATTR_MSG
_LARGEST_DATAGRAM = 1 << 16


class Flag(enum.IntFlag):
    """nlmsg_flags of requests and answers."""

    REQUEST = 0x1
    MULTI = 0x2
    ACK = 0x4
    ECHO = 0x8
    CAPPED = 0x100
    ACK_TLVS = 0x200
    REPLACE = 0x100
    EXCLUSIVE = 0x200
    CREATE = 0x400
    DUMP = 0x300


NO_FLAGS = Flag(0)


class MessageType(enum.IntEnum):
    """nlmsg_type of rtnetlink."""

    NEW_LINK = 16
    DELETE_LINK = 17
    GET_LINK = 18
    SET_LINK = 19
    NEW_ADDRESS = 20
    NEW_ROUTE = 24
    DELETE_ROUTE = 25
    GET_ROUTE = 26
    NEW_QDISC = 36
    DELETE_QDISC = 37
    GET_QDISC = 38
    NEW_FILTER = 44
    DELETE_FILTER = 45
    GET_FILTER = 46


class NetlinkError(OSError):
    """The kernel refused a request; `words` is what it said about it (its extended acknowledgement), or empty."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(number, os.strerror(number))
        self.words = words


@dataclass(frozen=True, slots=True)
class Message:
    """An answer: its type, and all that follows the netlink header."""

    type: int
    payload: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """A struct nlattr with its value, filled up to a multiple of 4 bytes."""
    return _padded(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value)


def number(kind: int, value: int) -> bytes:
    """An attribute whose value is a 32-bit number."""
    return attribute(kind, struct.pack("=i" if value < 0 else "=I", value))


def text(kind: int, value: str) -> bytes:
    """An attribute whose value is a text that ends in NUL."""
    return attribute(kind, os.fsencode(value) + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute whose value is attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def attributes_of(data: bytes) -> dict[int, bytes]:
    """The values of attributes, by type; of a type that occurs more than once, the last."""
    found = {}
    start = 0
    while start + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = data[start + _ATTRIBUTE.size : start + length]
        start += _aligned(length)
    return found


def number_of(value: bytes) -> int:
    """The value of an attribute that is a 32-bit number."""
    return int(struct.unpack("=I", value[:4])[0])


def text_of(value: bytes) -> str:
    """The value of an attribute that is a text."""
    return os.fsdecode(value.partition(b"\0")[0])


class Netlink:
    """A netlink socket, closed by `with`. Failures are NetlinkErrors, or OSErrors of the socket itself."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_ROUTE)
        self._sequence = 0
        for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK):
            self._set_option(option)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _set_option(self, option: int) -> None:
        """Set an option; kernels without it (before 4.12) only say less."""
        try:
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        except OSError:
            return

    def request(self, kind: MessageType, payload: bytes, flags: Flag = NO_FLAGS) -> list[Message]:
        """Send a request; all messages of the answer, once the kernel has acknowledged it."""
        self._sequence += 1
        wanted = Flag.REQUEST | flags | (NO_FLAGS if Flag.DUMP in flags else Flag.ACK)
        length = _HEADER.size + len(payload)
        self._socket.send(_HEADER.pack(length, kind, wanted, self._sequence, 0) + payload)
        return list(self._answer())

    def _answer(self) -> Iterator[Message]:
        while True:
            data = self._socket.recv(_LARGEST_DATAGRAM)
            start = 0
            while start + _HEADER.size <= len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, start)
                if length < _HEADER.size:
                    break
                payload = data[start + _HEADER.size : start + length]
                start += _aligned(length)
                if sequence != self._sequence:
                    continue  # what is left of a request that failed half-way
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    _raise_if_error(payload, Flag(flags), is_done=kind == _NLMSG_DONE)
                    return
                if kind >= _FIRST_PAYLOAD_TYPE:
                    yield Message(kind, payload)


def _raise_if_error(payload: bytes, flags: Flag, *, is_done: bool) -> None:
    """Raise what an acknowledgement, or the end of a list, says has gone wrong."""
    code = struct.unpack("=i", payload[:4])[0] if len(payload) >= 4 else 0
    if not code:
        return
    words = ""
    if Flag.ACK_TLVS in flags:
        # Behind the number comes the request's header, and the rest of the request unless it was left out.
        start = 4
        if not is_done:
            request_length = _HEADER.unpack_from(payload, 4)[0]
            start += _HEADER.size if Flag.CAPPED in flags else _aligned(request_length)
        words = text_of(attributes_of(payload[start:]).get(_ERROR_MESSAGE, b""))
    raise NetlinkError(-code, words)


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def _padded(data: bytes) -> bytes:
    return data.ljust(_aligned(len(data)), b"\0")
