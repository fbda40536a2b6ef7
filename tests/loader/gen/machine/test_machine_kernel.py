"""The fake kernel takes and refuses attributes as the real one does."""

from __future__ import annotations

import errno

import pytest

from tests.loader.gen.machine import attributes
from tests.loader.gen.machine.attributes import (
    BTF_LOAD,
    LAYOUTS,
    MAP_CREATE,
    MAP_FREEZE,
    MAP_UPDATE_ELEM,
    PROG_LOAD,
)
from tests.loader.gen.machine.instructions import Instruction
from tests.loader.gen.machine.kernel import FUNC, Kernel
from tests.loader.gen.machine.memory import Region
from tests.loader.gen.machine.record import Loaded, MapFacts

BASE = 0xFFFF888000000000
EXIT = Instruction(0x95, 0, 0, 0, 0)
RETURN = [Instruction(0xB7, 0, 0, 0, 0), EXIT]


class Bench:
    """A fake kernel with memory to put things into."""

    def __init__(self, kernel: Kernel | None = None) -> None:
        self.kernel = kernel or Kernel()
        self.used = 0

    def put(self, data: bytes) -> int:
        """The address of data."""
        region = self.kernel.memory.add(Region("data", BASE + self.used, data))
        self.used += len(data) + 8
        return region.base

    def attributes(self, command: int, **given: int | str) -> bytes:
        """The union with some fields set."""
        data = bytearray(attributes.UNION_SIZE)
        for name, offset, size in LAYOUTS[command]:
            value = given.pop(name, 0)
            part = value.encode() if isinstance(value, str) else value.to_bytes(size, "little")
            data[offset : offset + len(part)] = part
        assert not given
        return bytes(data)

    def bpf(self, command: int, **given: int | str) -> int:
        """A call; an errno is below 0."""
        return self.kernel.bpf(command, self.attributes(command, **given))

    def array(self, size: int = 4, **given: int | str) -> int:
        """A new array of one element."""
        fields = {"map_type": 2, "key_size": 4, "value_size": size, "max_entries": 1, "map_name": "a", **given}
        return self.bpf(MAP_CREATE, **fields)

    def program(self, *code: Instruction, **given: int | str) -> int:
        """A new program."""
        instructions = self.put(b"".join(slot.encode("little") for slot in code))
        fields = {"prog_type": 1, "insn_cnt": len(code), "insns": instructions, "license": self.put(b"GPL\0")}
        return self.bpf(PROG_LOAD, **{**fields, **given})


def test_commands_that_programs_may_not_call() -> None:
    kernel = Kernel()
    assert kernel.bpf(6, bytes(32)) == kernel.bpf(10, bytes(32)) == -errno.EINVAL


def test_what_a_command_does_not_use_is_zero() -> None:
    bench = Bench()
    good = bench.attributes(MAP_CREATE, map_type=1, key_size=4, value_size=4, max_entries=1)
    assert bench.kernel.bpf(MAP_CREATE, good[:72]) > 0
    assert bench.kernel.bpf(MAP_CREATE, good + bytes(8)) > 0
    assert bench.kernel.bpf(MAP_CREATE, good[:-1] + b"\1") == -errno.EINVAL
    assert bench.kernel.bpf(MAP_CREATE, good + b"\1") == -errno.E2BIG


def test_an_older_kernel_refuses_newer_fields() -> None:
    bench = Bench(Kernel(last_fields={MAP_CREATE: "map_ifindex"}))
    assert bench.array() > 0
    assert bench.array(map_extra=1) == -errno.EINVAL


def test_names_have_an_end_and_no_odd_characters() -> None:
    bench = Bench()
    assert bench.array(map_name="fifteen.letters") > 0
    assert bench.array(map_name="sixteen__letters") == -errno.EINVAL
    assert bench.array(map_name="a-b") == -errno.EINVAL


def test_elements_until_the_map_is_frozen() -> None:
    bench = Bench()
    array = bench.array()
    key, value = bench.put(bytes(4)), bench.put(b"abcd")
    assert bench.bpf(MAP_UPDATE_ELEM, map_fd=array, key=key, value=value) == 0
    assert bench.kernel.calls[-1].attributes == {"map_fd": "map a", "key": 0, "value": b"abcd"}
    assert bench.bpf(MAP_UPDATE_ELEM, map_fd=array, key=key, value=0) == -errno.EFAULT
    assert bench.bpf(MAP_UPDATE_ELEM, map_fd=array, key=key, value=value + 1) == -errno.EFAULT
    assert bench.bpf(MAP_UPDATE_ELEM, map_fd=99, key=key, value=value) == -errno.EBADF
    assert bench.bpf(MAP_FREEZE, map_fd=array) == 0
    assert bench.bpf(MAP_FREEZE, map_fd=array) == -errno.EBUSY
    assert bench.bpf(MAP_UPDATE_ELEM, map_fd=array, key=key, value=value) == -errno.EPERM


def test_elements_that_are_descriptors() -> None:
    bench = Bench()
    inner = bench.array()
    assert bench.array(map_type=12, inner_map_fd=0) == -errno.EBADF
    outer = bench.array(map_type=12, inner_map_fd=inner, map_name="outer")
    key = bench.put(bytes(4))
    value = bench.put(inner.to_bytes(4, "little"))
    assert bench.bpf(MAP_UPDATE_ELEM, map_fd=outer, key=key, value=value) == 0
    assert bench.kernel.calls[-1].attributes["value"] == "map a"
    jumps = bench.array(map_type=3, map_name="jumps")
    assert bench.bpf(MAP_UPDATE_ELEM, map_fd=jumps, key=key, value=value) == -errno.EINVAL
    program = bench.program(*RETURN, prog_name="p")
    value = bench.put(program.to_bytes(4, "little"))
    assert bench.bpf(MAP_UPDATE_ELEM, map_fd=jumps, key=key, value=value) == 0
    assert bench.kernel.calls[-1].attributes["value"] == "program p"


def test_rings_are_pages() -> None:
    bench = Bench(Kernel(page_size=16384))
    assert bench.array(map_type=27, max_entries=4096) == -errno.EINVAL
    assert bench.array(map_type=27, max_entries=3 * 16384) == -errno.EINVAL
    assert bench.array(map_type=27, max_entries=2 * 16384) > 0


def test_types_belong_to_types_that_are_loaded() -> None:
    bench = Bench()
    assert bench.array(btf_value_type_id=1) == -errno.EBADF
    btf = bench.bpf(BTF_LOAD, btf=bench.put(b"\x9f\xeb\1\0"), btf_size=4)
    assert bench.array(btf_value_type_id=1, btf_fd=btf) > 0
    assert bench.bpf(BTF_LOAD, btf=bench.put(b"\xeb\x9f\1\0"), btf_size=4) == -errno.EINVAL


def test_programs_refer_to_what_is_open() -> None:
    kernel = Kernel({("f", FUNC): (9, "mod")})
    bench = Bench(kernel)
    array, module = bench.array(), kernel.give("module", "mod")
    table = bench.put(array.to_bytes(4, "little") + bytes(4) + module.to_bytes(4, "little"))
    load = [Instruction(0x18, 1, 5, 0, 0), Instruction(0, 0, 0, 0, 0)]
    call = Instruction(0x85, 0, 2, 2, 9)
    assert bench.program(*load, call, EXIT, fd_array=table) > 0
    assert kernel.calls[-1].attributes["insns"] == (
        Loaded(0x18, 1, 5, 0, "map a"),
        Loaded(0, 0, 0, 0, 0),
        Loaded(0x85, 0, 2, "module mod", 9),
        Loaded(0x95, 0, 0, 0, 0),
    )
    assert bench.program(load[0]._replace(imm=1), load[1], EXIT, fd_array=table) == -errno.EBADF
    assert bench.program(load[0]._replace(imm=2), load[1], EXIT, fd_array=table) == -errno.EINVAL
    assert bench.program(*load, EXIT) == -errno.EFAULT
    assert bench.program(call._replace(imm=8), EXIT, fd_array=table) == -errno.EINVAL
    assert bench.program(call._replace(off=0), EXIT, fd_array=table) == -errno.EINVAL
    assert bench.program(*RETURN, license=1) == -errno.EFAULT


def test_calls_fail_when_told_and_leave_nothing() -> None:
    bench = Bench(Kernel(failures={2: errno.ENOMEM}))
    assert bench.array() == 3
    assert bench.array() == -errno.ENOMEM
    assert bench.array() == 4
    assert [call.error for call in bench.kernel.calls] == [0, errno.ENOMEM, 0]


def test_names_tell_apart() -> None:
    bench = Bench()
    bench.kernel.give("map", "given", MapFacts(2, 4, 4))
    bench.array()
    bench.array()
    assert bench.kernel.open_names == ["map given", "map a", "map a#2"]


@pytest.mark.parametrize(
    ("command", "size"),
    [(MAP_CREATE, 92), (MAP_UPDATE_ELEM, 32), (PROG_LOAD, 168), (BTF_LOAD, 40), (MAP_FREEZE, 4)],
)
def test_layouts_have_the_kernels_size(command: int, size: int) -> None:
    last = LAYOUTS[command][-1]
    assert last.offset + last.size == size
