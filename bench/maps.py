"""Maps and ring buffers of the running kernel: our operations beside the same system call made bare with ctypes.

    python -m bench.maps [--rounds N]

The bare call is given buffers and attributes that were made beforehand, and gives its result in one of them.
Events are read out of a ring buffer that a program has filled. Seconds are those on a processor.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import struct
import sys
import time
from typing import TYPE_CHECKING

from bpfas.asm import assemble
from bpfas.loader import load, syscall
from bpfas.loader.kinds import MapType
from bpfas.loader.runtime.maps import Map
from bpfas.loader.spec import MapSpec

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 20_000
RING_SIZE = 1 << 24
EVENTS = 500_000
"""Records of 16 bytes, with their headers three quarters of the ring."""

SENDER = """
    .section maps,"aw",@progbits
    .globl events
events: .long 27, 0, 0, {size}, 0
    .section xdp,"ax",@progbits
    .globl send
    .type send,@function
send:
    lddw %r1,events
    mov %r2,16
    mov %r3,0
    call bpf_ringbuf_reserve
    jeq %r0,0,full
    stdw [%r0+0],1
    stdw [%r0+8],2
    mov %r1,%r0
    mov %r2,1
    call bpf_ringbuf_submit
full:
    mov %r0,2
    exit
    .size send,.-send
    .section license,"a",@progbits
    .asciz "GPL"
"""
NUMBERS = struct.Struct("=QQ")


class _Element(ctypes.Structure):
    _fields_ = [
        ("map_fd", ctypes.c_uint32),
        ("_pad", ctypes.c_uint32),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    ]


def bare_call(command: int, map_: Map, key: int) -> Callable[[], object]:
    """bpf(2) with an int's bytes as key and the value 1, everything that it takes ready beforehand."""
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
    key_memory = ctypes.create_string_buffer(key.to_bytes(4, sys.byteorder), 4)
    value_memory = ctypes.create_string_buffer((1).to_bytes(8, sys.byteorder), 8)
    element = _Element(map_.fd, 0, ctypes.addressof(key_memory), ctypes.addressof(value_memory), 0)
    number, address = syscall.syscall_number(), ctypes.addressof(element)

    def call() -> object:
        _ = (key_memory, value_memory, element)  # they live as long as the function
        return function(number, command, address, 32)

    return call


def seconds_each(call: Callable[[], object]) -> float:
    """The mean time of a call."""
    started = time.thread_time()
    for _ in range(CALLS):
        call()
    return (time.thread_time() - started) / CALLS


def compare_operations(rounds: int) -> None:
    """Print how long operations take, and how that compares with the bare call, in turn with which they run."""
    fd = syscall.map_create("bench", MapType.HASH, 4, 8, 1024)
    with Map(MapSpec("bench", "bench", MapType.HASH, 4, 8, 1024), fd) as map_:
        numbers = map_.typed(key=int, value=int)
        numbers[7] = 1
        key, value = (7).to_bytes(4, sys.byteorder), bytes(8)
        lookup, update = (
            bare_call(syscall.Command.MAP_LOOKUP_ELEM, map_, 7),
            bare_call(syscall.Command.MAP_UPDATE_ELEM, map_, 7),
        )
        cases: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "lookup, bytes": (lambda: map_[key], lookup),
            "lookup, integers": (lambda: numbers[7], lookup),
            "update, bytes": (lambda: map_.update(key, value), update),
            "update, integers": (lambda: numbers.update(7, 1), update),
        }
        print(f"{CALLS} calls each, {rounds} rounds:")
        for name, (ours, bare) in cases.items():
            pairs = [(seconds_each(ours), seconds_each(bare)) for _ in range(rounds)]
            ratios = [own / other for own, other in pairs]
            median = statistics.median(own for own, _ in pairs)
            spread = f"{statistics.median(ratios):.2f} x the bare call ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"  {name:18} {1e6 * median:6.2f} us   {spread}")


def read_events(rounds: int) -> None:
    """Print how many events a second are read out of a full ring buffer, as bytes and as numbers."""
    with load(assemble(SENDER.format(size=RING_SIZE))) as app:
        events, send = app.maps["events"], app.programs["send"]
        print(f"{EVENTS} events of 16 bytes, {rounds} rounds:")
        for name, value in (("bytes", bytes), ("numbers", NUMBERS)):
            rates = []
            for _ in range(rounds):
                with events.events(value) as reader:
                    send.test_run(bytes(64), repeat=EVENTS)
                    started = time.thread_time()
                    count = 0
                    for _event in reader:
                        count += 1
                        if count == EVENTS:
                            break
                    rates.append(count / (time.thread_time() - started))
            print(
                f"  {name:18} {statistics.median(rates):12,.0f} a second ({min(rates):,.0f} to {max(rates):,.0f})"
            )


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    compare_operations(given.rounds)
    read_events(given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
