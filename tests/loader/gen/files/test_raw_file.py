"""Loader programs in files: what is read is what was written, and damage is told."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfas import assemble
from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.elf.constants import ByteOrder
from bpfas.loader import open_image
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.files.raw_file import MAGIC, is_raw, read_raw, write_raw
from bpfas.loader.gen.loader_program import LoaderProgram, Scheme, Signature
from bpfas.loader.gen.running.runner import run
from bpfas.loader.gen.trace import trace_json
from tests.loader.conftest import open_descriptors
from tests.loader.gen.machine import images
from tests.loader.gen.running.test_runner import DECLARED, MAPS_AND_DATA

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.loader.spec import Image

SOURCE = """
.section xdp,"ax",@progbits
.globl prog
.type prog,@function
prog:
    mov %r0,2
    exit
.section maps,"aw"
.globl counts
counts: .4byte 2, 4, 8, 1, 0
"""
HEADER = struct.Struct("<8sBBHIII8Q")


@pytest.fixture(scope="module")
def small() -> LoaderProgram:
    return generate(open_image(assemble(SOURCE, name="small.o")))


def without_object(image: Image) -> dict[str, object]:
    """What a file keeps of an image."""
    programs = {name: spec._replace(parts=(), core=()) for name, spec in image.programs.items()}
    types = image.types and (image.types.words.tobytes(), image.types.strings)
    kept = {"programs": programs, "types": types, "kernel_btf": None, "bindings": (), "warnings": ()}
    return vars(image) | kept


def assert_same(read: LoaderProgram, written: LoaderProgram) -> None:
    for name in set(LoaderProgram._fields) - {"image", "context"}:
        assert getattr(read, name) == getattr(written, name), name
    assert without_object(read.image) == without_object(written.image)
    assert read.context._replace(programs=(), maps=()) == written.context._replace(programs=(), maps=())
    assert [(each.spec.name, each.offset, each.is_loaded) for each in read.context.programs] == [
        (each.spec.name, each.offset, each.is_loaded) for each in written.context.programs
    ]
    assert [(each.spec, each.offset) for each in read.context.maps] == [
        (each.spec, each.offset) for each in written.context.maps
    ]


@pytest.mark.peer
def test_what_is_read_is_what_was_written(compile_c: Callable[..., str]) -> None:
    image = open_image(compile_c(DECLARED + MAPS_AND_DATA, "-g"))
    written = generate(image)._replace(
        kconfig="CONFIG_HZ=3\n",
        scheme=Scheme.HASH_IN_PROGRAM,
        signature=Signature(Scheme.HASH_IN_PROGRAM, bytes(range(200))),
        warnings=(Diagnostic(Severity.WARNING, "something", "app.o", ("a note",)),),
    )
    data = write_raw(written)
    assert is_raw(data)
    read = read_raw(data)
    assert_same(read, written)
    assert trace_json(read.script) == trace_json(written.script)
    assert write_raw(read) == data


@pytest.mark.kernel
@pytest.mark.peer
@pytest.mark.usefixtures("no_leaks")
def test_what_is_read_runs_without_the_object(compile_c: Callable[..., str]) -> None:
    program = read_raw(write_raw(generate(open_image(compile_c(DECLARED + MAPS_AND_DATA, "-g")))))
    with run(program, values={"threshold": 5}, max_entries={"counts": 3}) as collection:
        assert collection.programs["prog"].test_run(bytes(64)).retval == 1
        assert dict(collection.maps["counts"].items()) == {1: 15}
        assert collection.data["hits"] == 1


@pytest.mark.parametrize("order", ByteOrder, ids=lambda order: order.name.lower())
@pytest.mark.parametrize("name", sorted(images.MADE.keys() - {"typed", "struct_ops"}))
def test_all_kinds_of_maps_and_look_ups_are_kept(name: str, order: ByteOrder) -> None:
    """But for those of images whose types are the kernel's alone."""
    image = images.made(name, order)
    for options in (GenOptions(), GenOptions(token=True)):
        written = generate(image, options)
        read = read_raw(write_raw(written))
        assert read.script == written.script
        assert read.context.facts == written.context.facts
        assert [(each.spec, each.offset) for each in read.context.maps] == [
            (each.spec, each.offset) for each in written.context.maps
        ]
        assert [each.spec.instructions for each in read.context.programs] == [
            each.spec.instructions for each in written.context.programs
        ]


def test_the_other_byte_order_is_kept() -> None:
    object_file = assemble(
        SOURCE.replace("mov %r0,2", ".byte 0xb7,0x00,0,0,0,0,0,2").replace("exit", ".byte 0x95,0,0,0,0,0,0,0")
    )
    object_file.byte_order = ByteOrder.BIG
    object_file.section("maps").data = struct.pack(">5I", 2, 4, 8, 1, 0)  # type: ignore[union-attr]
    written = generate(open_image(object_file))
    data = write_raw(written)
    assert data[8] == 2
    assert struct.unpack_from(">H", data, 10) == (HEADER.size,)
    assert_same(read_raw(data), written)


def test_the_header_is_as_documented(small: LoaderProgram) -> None:
    data = write_raw(small)
    magic, order, version, size, checksum, context, count, *places = HEADER.unpack_from(data)
    assert (magic, order, version, size, count) == (MAGIC, 1, 1, HEADER.size, 4)
    assert checksum == zlib.crc32(data[size:])
    assert context == small.context.size
    instructions, contents, description, _ = (
        data[offset : offset + length] for offset, length in zip(places[::2], places[1::2], strict=True)
    )
    assert (instructions, contents) == (small.instructions, small.data)
    assert all(offset % 8 == 0 for offset in places[::2])
    told = json.loads(description)
    assert told["context"]["maps"] == {"counts": 24}
    assert told["maps"]["counts"]["value_size"] == 8


def with_description(small: LoaderProgram, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A file whose description is another, and whose checksum is right."""
    data = write_raw(small)
    fields = list(HEADER.unpack_from(data))
    offset, length = fields[11:13]
    told = json.loads(data[offset : offset + length])
    changed = change(told)
    text = json.dumps(told if changed is None else changed).encode()
    body = data[HEADER.size :] + text
    fields[11:13] = [len(data), len(text)]
    fields[4] = zlib.crc32(body)
    return HEADER.pack(*fields) + body


def first_call(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The first step that is a call, within others."""
    return next(
        step if "command" in step else first_call(step["steps"]) for step in steps if step["class"] != "Find"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: [], r"description is \[\], which it cannot be"),
        (lambda told: told.pop("name") and None, "description has no 'name'"),
        (lambda told: told.update(name=5), "description.name is 5"),
        (lambda told: told.update(more=5), "description has 'more'"),
        (lambda told: told["maps"]["counts"].update(map_type="hash"), "map_type is 'hash'"),
        (lambda told: told["maps"]["counts"].update(map_type=1 << 70), "no number of 64 bits"),
        (lambda told: told["maps"].pop("counts") and None, "the context has maps counts, but there are"),
        (lambda told: told["maps"]["counts"].update(name="other"), "the context has maps counts"),
        (lambda told: told["context"]["maps"].update(counts=4), "'counts' lies at 4 of the context"),
        (lambda told: told["context"].update(size=40), "lies at .* of the context"),
        (lambda told: told["context"].update(loaded=["nothing"]), "there is no program nothing"),
        (lambda told: told["script"]["steps"].append({"class": "Reboot"}), "is of class 'Reboot'"),
        (lambda told: told["script"]["steps"].append(7), "which it cannot be"),
        (lambda told: told["programs"]["prog"].update(instructions=[0, 1, 1 << 40]), "lies outside of the file"),
        (lambda told: told["programs"]["prog"].update(instructions="zz"), "not hexadecimal"),
        (lambda told: told["programs"]["prog"].update(func_info="000000"), "no words"),
        (lambda told: told.update(name="\ud800"), "is no text"),
        (lambda told: first_call(told["script"]["steps"]).update(command=99), "there is no command 99"),
        (lambda told: told.update(scheme="rot13"), "there are hash_in_program"),
    ],
)
def test_a_wrong_description_is_told(
    small: LoaderProgram, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(BpfasError, match=words) as caught:
        read_raw(with_description(small, change), "x.bpfl")
    assert str(caught.value).startswith("x.bpfl: error: the file is damaged, or not a loader program: ")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, b"\x7fELF", "it begins with 7f 45 4c 46"),
        (8, b"\3", "its byte order is 3"),
        (9, b"\2", "it is of version 2"),
        (10, b"\0\0", "its header has 0 bytes"),
        (16, b"\0\0\0\0", "the context has .* in the description, 0 in the header"),
        (24, b"\0", "a region of"),
        (32, b"\xff" * 8, "a region of"),
        (100, b"\xff", "its checksum is not that of its contents"),
    ],
)
def test_a_wrong_header_is_told(small: LoaderProgram, place: int, value: bytes, words: str) -> None:
    data = bytearray(write_raw(small))
    data[place : place + len(value)] = value
    with pytest.raises(BpfasError, match=words):
        read_raw(bytes(data))


def test_a_file_that_is_cut_off_is_told(small: LoaderProgram) -> None:
    data = write_raw(small)
    for size in (0, 4, 8, 40, 90, len(data) // 2, len(data) - 8):
        with pytest.raises(BpfasError, match="damaged"):
            read_raw(data[:size])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def changes(data: st.DataObject, values: st.SearchStrategy[object]) -> Callable[[dict[str, Any]], object]:
    """Something in a description becomes another value."""

    def change(told: dict[str, Any]) -> object:
        place: Any = told
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                return None
            key = data.draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or data.draw(st.integers(0, 9)) == 0:
                place[key] = data.draw(values)
                return None
            place = place[key]

    return change


@settings(max_examples=50)
@given(st.data())
def test_no_description_makes_anything_but_a_program_or_an_error(data: st.DataObject) -> None:
    program = generate(open_image(assemble(SOURCE, name="small.o")))
    try:
        read = read_raw(with_description(program, changes(data, VALUES)))
    except BpfasError:
        return
    assert isinstance(read, LoaderProgram)


@pytest.mark.kernel
@pytest.mark.peer
@pytest.mark.usefixtures("no_leaks")
def test_no_description_makes_the_runner_fail_but_by_an_error(compile_c: Callable[..., str]) -> None:
    """Numbers that are others, so that files can be read and are run."""
    program = generate(open_image(compile_c(DECLARED + MAPS_AND_DATA, "-g")))
    before = open_descriptors()

    @settings(max_examples=40)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        numbers = st.integers(0, 300) | st.sampled_from([-1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 64) - 1])
        with contextlib.suppress(BpfasError):
            run(read_raw(with_description(program, changes(data, numbers)))).close()
        assert open_descriptors() == before

    check()


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_bytes_are_a_program_or_an_error(head: bytes, tail: bytes) -> None:
    for data in (head, MAGIC + head, MAGIC + b"\1\1" + struct.pack("<H", HEADER.size) + head + tail):
        with pytest.raises(BpfasError):
            read_raw(data)
