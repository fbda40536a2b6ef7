"""What Python modules are put together from: numbers as the library has them, names, text."""

from __future__ import annotations

import ast
import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.loader.attach import binary_functions as functions
from bpfas.loader.attach.binary import open_binary
from bpfas.loader.gen import loader_program
from bpfas.loader.gen.python.joined_parts import all_parts, read_part, with_needs
from bpfas.loader.gen.python.names import class_name, identifier, unique
from bpfas.loader.gen.python.parts import (
    arenas,
    attach_events,
    attach_iterator,
    attach_netfilter,
    attach_raw_tracepoint,
    attach_sockmap,
    attach_tcx,
    attach_trace,
    attach_xdp,
    elements,
    executables,
    freplace,
    kconfig,
    kernel,
    links,
    loader,
    perf_events,
    pins,
    programs,
    queues,
    signed,
    struct_ops,
    tokens,
    values,
)
from bpfas.loader.gen.python.text import Call, Table, bytes_expression, laid_out, quoted
from bpfas.loader.kernel.version import running_version
from bpfas.loader.kinds import AttachType, MapFlag, MapType, ProgramFlag, ProgramType
from bpfas.loader.syscall import bpf as bpf_calls
from bpfas.loader.syscall import perf
from bpfas.loader.syscall.bpf import Command

COMMANDS = {
    (loader, "MAP_CREATE"): Command.MAP_CREATE,
    (loader, "PROG_LOAD"): Command.PROG_LOAD,
    (loader, "PROG_RUN"): Command.PROG_TEST_RUN,
    (signed, "SIGNED_MAP_CREATE"): Command.MAP_CREATE,
    (signed, "SIGNED_PROG_LOAD"): Command.PROG_LOAD,
    (signed, "SIGNED_MAP_INFO"): Command.OBJ_GET_INFO_BY_FD,
    (signed, "MAP_FREEZE"): Command.MAP_FREEZE,
    (links, "OBJ_PIN"): Command.OBJ_PIN,
    (links, "LINK_CREATE"): Command.LINK_CREATE,
    (links, "LINK_DETACH"): Command.LINK_DETACH,
    (programs, "PROG_TEST_RUN"): Command.PROG_TEST_RUN,
    (elements, "LOOKUP"): Command.MAP_LOOKUP_ELEM,
    (elements, "UPDATE"): Command.MAP_UPDATE_ELEM,
    (elements, "DELETE"): Command.MAP_DELETE_ELEM,
    (elements, "NEXT_KEY"): Command.MAP_GET_NEXT_KEY,
    (elements, "LOOKUP_AND_DELETE"): Command.MAP_LOOKUP_AND_DELETE_ELEM,
    (queues, "LOOK"): Command.MAP_LOOKUP_ELEM,
    (queues, "PUSH"): Command.MAP_UPDATE_ELEM,
    (queues, "POP"): Command.MAP_LOOKUP_AND_DELETE_ELEM,
    (attach_trace, "RAW_TRACEPOINT_OPEN"): Command.RAW_TRACEPOINT_OPEN,
    (attach_raw_tracepoint, "OPEN_RAW_TRACEPOINT"): Command.RAW_TRACEPOINT_OPEN,
    (attach_iterator, "ITER_CREATE"): Command.ITER_CREATE,
    (attach_sockmap, "PROG_ATTACH"): Command.PROG_ATTACH,
    (attach_sockmap, "PROG_DETACH"): Command.PROG_DETACH,
    (freplace, "OBJ_GET"): Command.OBJ_GET,
    (freplace, "PROG_GET_FD_BY_ID"): Command.PROG_GET_FD_BY_ID,
    (freplace, "GET_INFO"): Command.OBJ_GET_INFO_BY_FD,
    (freplace, "BTF_GET_FD_BY_ID"): Command.BTF_GET_FD_BY_ID,
    (kconfig, "PROBE_LOAD"): Command.PROG_LOAD,
    (pins, "PIN_GET"): Command.OBJ_GET,
    (pins, "PIN_INFO"): Command.OBJ_GET_INFO_BY_FD,
    (struct_ops, "STRUCT_OPS_UPDATE"): Command.MAP_UPDATE_ELEM,
    (struct_ops, "STRUCT_OPS_DELETE"): Command.MAP_DELETE_ELEM,
    (tokens, "TOKEN_CREATE"): Command.TOKEN_CREATE,
    (attach_xdp, "ATTACH_XDP"): AttachType.XDP,
    (attach_netfilter, "ATTACH_NETFILTER"): AttachType.NETFILTER,
    (attach_events, "ATTACH_PERF_EVENT"): AttachType.PERF_EVENT,
    (struct_ops, "ATTACH_STRUCT_OPS"): AttachType.STRUCT_OPS,
    (loader, "MAP_TYPE_ARRAY"): MapType.ARRAY,
    (loader, "PROGRAM_TYPE_SYSCALL"): ProgramType.SYSCALL,
    (loader, "MMAPABLE"): MapFlag.MMAPABLE,
    (loader, "SLEEPABLE"): ProgramFlag.SLEEPABLE,
    (loader, "WITH_TOKEN"): MapFlag.TOKEN_FD,
    (arenas, "FOUR_GIB"): 1 << 32,
}


@pytest.mark.parametrize(("place", "number"), COMMANDS.items(), ids=lambda each: str(each)[-40:])
def test_numbers_are_the_librarys(place: tuple[object, str], number: int) -> None:
    module, name = place
    assert getattr(module, name) == number


def test_tables_are_the_librarys() -> None:
    calls, events = bpf_calls._SYSCALL_NUMBERS, perf._NUMBERS
    assert {key: (calls[key], events[key]) for key in calls} == kernel.SYSCALL_NUMBERS
    assert list(attach_tcx.TCX_TYPES.values()) == [
        AttachType.TCX_INGRESS,
        AttachType.TCX_EGRESS,
        AttachType.NETKIT_PRIMARY,
        AttachType.NETKIT_PEER,
    ]
    assert list(attach_sockmap.SOCKMAP_ROLES.values()) == [
        AttachType.SK_SKB_STREAM_PARSER,
        AttachType.SK_SKB_STREAM_VERDICT,
        AttachType.SK_MSG_VERDICT,
        AttachType.SK_SKB_VERDICT,
    ]
    assert loader_program.LICENSE.encode() + b"\0" == loader.LOADER_LICENSE
    assert struct.calcsize("=II") == loader_program.LOG_LEVEL.offset


def test_no_two_parts_define_the_same_name() -> None:
    owners: dict[str, str] = {}
    for part in all_parts():
        for name in read_part(part).names:
            assert owners.setdefault(name, part) == part, name


@pytest.mark.parametrize("part", all_parts())
def test_part_comes_behind_what_it_needs(part: str) -> None:
    order = with_needs([part])
    assert order[-1] == part
    for place, name in enumerate(order):
        assert set(read_part(name).needs) <= set(order[:place])


@given(st.text(alphabet=st.characters(codec=None)))
def test_strings_mean_what_they_say(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text
    assert quoted(text).isascii()


def test_numbers_of_zeros_may_be_cut_by_the_ends_of_lines() -> None:
    for size in range(70, 90):
        data = bytes(range(1, size)) + bytes(123_456) + bytes(range(1, 99))
        text = laid_out(bytes_expression(data), 0, 0)
        assert eval(text, {"unpacked": loader.unpacked}) == data  # noqa: S307


def test_zeros_take_no_room() -> None:
    data = b"begin" + bytes(1 << 20) + b"end"
    text = laid_out(bytes_expression(data), 0, 0)
    assert len(text) < 100
    assert eval(text, {"unpacked": loader.unpacked}) == data  # noqa: S307


@given(st.lists(st.binary(max_size=100) | st.integers(0, 100).map(bytes), max_size=5).map(b"".join))
def test_bytes_mean_what_they_say(data: bytes) -> None:
    text = laid_out(bytes_expression(data), 0, 0)
    assert eval(text, {"unpacked": loader.unpacked}) == data  # noqa: S307


def test_long_calls_have_a_line_for_each_argument() -> None:
    short = Call("f", ("1", Table((("2", "3"),))))
    assert laid_out(short, 4, 20) == "f(1, {2: 3})"
    assert laid_out(short, 4, 110) == "f(\n        1,\n        {2: 3},\n    )"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("counts", "counts"),
        (".data.x", "_data_x"),
        ("2nd", "_2nd"),
        ("class", "class_"),
        ("__hidden", "_hidden"),
        ("näme", "n_me"),
        ("", "_"),
        ("add", "add_"),
    ],
)
def test_identifiers(name: str, found: str) -> None:
    assert identifier(name, {"add"}) == found


@given(st.text())
def test_every_name_becomes_one(name: str) -> None:
    assert identifier(name).isidentifier()
    assert unique(class_name(name), set()).isidentifier()


def test_taken_names_get_numbers() -> None:
    taken: set[str] = {"Map"}
    assert [unique("Map", taken), unique("Map", taken), unique("None", taken)] == ["Map_2", "Map_3", "None_2"]


@given(st.integers(1, 16), st.booleans(), st.data())
def test_integers_keep_their_value(size: int, is_signed: bool, data: st.DataObject) -> None:
    low, high = (-(1 << 8 * size - 1), 1 << 8 * size - 1) if is_signed else (0, 1 << 8 * size)
    number = data.draw(st.integers(low, high - 1))
    type_ = values.Integer(size, is_signed)
    assert values.decoded(type_, values.encoded(type_, number)) == number
    with pytest.raises(ValueError, match="is not from"):
        values.encoded(type_, high)


@given(st.integers(0, 7), st.integers(1, 57), st.booleans(), st.data())
def test_bit_fields_leave_their_neighbours(start: int, count: int, is_signed: bool, data: st.DataObject) -> None:
    bits = values.Bits(start, count, is_signed)
    low, high = (-(1 << count - 1), 1 << count - 1) if is_signed else (0, 1 << count)
    number = data.draw(st.integers(low, high - 1))
    memory = values.Memory(bytearray(b"\xff" * bits.size))
    bits.write(memory, 0, number)
    assert bits.read(memory, 0) == number
    bits.write(memory, 0, high - 1 if not is_signed else -1)
    assert memory.buffer == b"\xff" * bits.size


@pytest.mark.parametrize(
    ("text", "kind", "size", "is_signed", "found"),
    [
        ("y", "bool", 1, False, 1),
        ("m", "tristate", 4, False, 2),
        ("n", "char", 1, True, ord("n")),
        ("0x10", "integer", 4, False, 16),
        ("010", "integer", 4, False, 8),
        ("-1", "integer", 8, True, -1),
        ("0xffffffffffffffff", "integer", 8, True, -1),
    ],
)
def test_options(text: str, kind: str, size: int, is_signed: bool, found: int) -> None:
    type_ = values.Integer(size, is_signed)
    assert values.decoded(type_, kconfig.option_value(text, kind, size, is_signed)) == found


@pytest.mark.parametrize(
    ("text", "kind", "size"),
    [
        ("m", "bool", 1),
        ("y", "integer", 4),
        ("256", "integer", 1),
        ("5", "bool", 1),
        ('"a', "string", 4),
        ("5x", "char", 1),
    ],
)
def test_options_that_do_not_fit(text: str, kind: str, size: int) -> None:
    with pytest.raises(ValueError):
        kconfig.option_value(text, kind, size, is_signed=False)


def test_text_options_are_cut() -> None:
    assert kconfig.option_value('"abcdef"', "string", 4, is_signed=False) == b"abc\0"
    assert dict(kconfig.assignments("A=1\nB=2\nA=3\n# B is not set\nC=4", ["A", "B"])) == {"A": "1", "B": "2"}


def test_functions_of_files_are_where_the_loader_finds_them() -> None:
    path = executables.find_executable("libc.so.6")
    with open_binary("libc.so.6") as binary:
        assert os.path.samefile(path, binary.path)
        for name in ("malloc", "getpid", "qsort"):
            assert executables.function_offset(path, name) == functions.function_offset(binary, name)


@pytest.mark.parametrize(
    ("step", "number", "reason"),
    [
        ("create map m (BPF_MAP_CREATE)", errno.E2BIG, "the map is too large for the kernel"),
        ("create map m (BPF_MAP_CREATE)", errno.EINVAL, "the kernel does not know the map type"),
        ("fill map outer[0] (BPF_MAP_UPDATE_ELEM)", errno.EINVAL, "the kernel does not take what is put there"),
        ("load program p (BPF_PROG_LOAD)", errno.EACCES, "the verifier refuses it"),
        ("look no_such up in vmlinux", errno.ENOENT, "the kernel has nothing of this name"),
        ("require kernel variable no_such of program p", errno.ENOENT, "the kernel has nothing of this name"),
        ("require kernel function no_such", errno.EPERM, "this process may not look up addresses"),
        ("create map look (BPF_MAP_CREATE)", errno.ENOMEM, ""),
    ],
)
def test_why_steps_fail_is_said_in_words(step: str, number: int, reason: str) -> None:
    found = loader.step_reason(step, number)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_running_version_is_what_the_loader_finds() -> None:
    assert kconfig.kernel_version() == running_version()


def test_no_link_stays_where_its_event_is_not_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[links.Link] = []

    def linked(words: str, *_: object) -> links.Link:
        made.append(links.Link(os.open(os.devnull, os.O_RDONLY), words))
        return made[-1]

    def refuse(_: int) -> None:
        raise OSError(errno.EACCES, "not today")

    monkeypatch.setattr(attach_events, "link_create", linked)
    monkeypatch.setattr(attach_events, "enable_event", refuse)
    monkeypatch.setattr(perf_events.PerfEvent, "open", lambda *_: os.open(os.devnull, os.O_RDONLY))
    program = programs.Program("prog", 24, "kprobe/f")
    program.fd = 0
    with pytest.raises(kernel.AttachError, match="cannot attach prog to f: EACCES"):
        attach_events.link_to_event(program, "prog to f", perf_events.PerfEvent(1, 0))
    assert [link.is_open for link in made] == [False]
    assert not program.links
