"""Merged types beside those of libbpf's linker, and given to the kernel."""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from pathlib import Path

import pytest

from bpfas.btf.declaration import declaration
from bpfas.btf.kinds import Kind
from bpfas.btf.merge import merge
from bpfas.btf.reader import read_all, read_btf
from bpfas.elf.constants import ByteOrder
from bpfas.elf.reader import read_object
from bpfas.loader import syscall
from tests.btf.builders import listing
from tests.btf.test_reader import one_of_each
from tests.peers import Peer

KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")
BTF_LOAD = 18

SHARED = """
typedef unsigned long long u64;
struct list { struct list *next, *prev; };
struct outer; union shape; enum color { RED, GREEN = 1 << 20, BLUE = -1 };
typedef int (*handler)(struct outer *, union shape *, ...);
struct task { struct list links; struct task *parent; const volatile char name[16]; enum color color;
              struct { u64 low : 20, high : 44; union { int i; float f; }; } parts; handler handlers[2]; };
"""
SOURCES = (
    # Each knows the whole of what others only declare.
    "struct outer { struct task *task; union shape *shape; struct outer *next; };",
    "union shape { struct outer *outer; u64 sides[4]; }; struct only_here { enum { YES = 1 } answer; };",
    "struct unknown; struct user { struct unknown *u; struct outer **o; } user;",
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("types")
    for number, source in enumerate(SOURCES):
        names = ["task", *(word for word in ("outer", "only_here", "user") if f"struct {word} {{" in source)]
        uses = "".join(f"struct {name} x{number}_{name};\n" for name in names)
        uses += f"union shape y{number};\n" if "union shape {" in source else ""
        (directory / f"{number}.c").write_text(
            f"{SHARED}{source}\n{uses}int f{number}(struct outer *o) {{ return x{number}_task.parts.i; }}\n"
        )
        output = directory / f"{number}.o"
        Peer.CLANG.run("-w", "-target", "bpf", "-O2", "-g", "-c", directory / f"{number}.c", "-o", output)
    return [directory / f"{number}.o" for number in range(len(SOURCES))]


def section(path: Path) -> tuple[bytes, ByteOrder, str]:
    obj = read_object(path.read_bytes(), path.name)
    found = obj.section(".BTF")
    assert found is not None
    return bytes(found.data), obj.byte_order, path.name


@pytest.mark.peer
def test_as_many_types_of_each_kind_stay_as_with_libbpf(objects: list[Path]) -> None:
    units = read_all([section(path) for path in objects])
    ours = read_btf(merge(units, [{} for _ in units]).write(ByteOrder.LITTLE), ByteOrder.LITTLE, "ours")
    joined = objects[0].with_name("joined")
    Peer.BPFTOOL.run("gen", "object", joined, *objects)
    theirs = read_all([section(joined)])[0]
    compared = [kind for kind in Kind if kind not in (Kind.VOID, Kind.VAR, Kind.DATASEC)]
    for kind in compared:
        texts = [
            Counter(declaration(btf, type_id, with_body=True) for type_id in btf.ids_of_kind(kind))
            for btf in (ours, theirs)
        ]
        assert texts[0] == texts[1]
    assert [ours.name(type_id) for type_id in ours.ids_of_kind(Kind.FWD)] == ["unknown"]
    assert sum(map(len, units)) > 1.5 * len(ours)


@pytest.mark.peer
def test_bpftool_reads_what_is_written(tmp_path: Path) -> None:
    made = one_of_each()
    output = merge([made.read()], [{}])
    path = tmp_path / "types"
    path.write_bytes(output.write(ByteOrder.LITTLE))
    text = Peer.BPFTOOL.run("btf", "dump", "file", path, "format", "raw").text
    assert text.count("\n[") + 1 == 20


def load(data: bytes) -> str:
    """What the kernel says of types: an empty text if it takes them."""
    contents = ctypes.create_string_buffer(data, len(data))
    log = ctypes.create_string_buffer(1 << 16)
    attributes = (ctypes.c_uint64 * 4)(
        ctypes.addressof(contents), ctypes.addressof(log), len(data) | len(log) << 32, 1
    )
    number = syscall.syscall_number()
    assert number is not None
    descriptor = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(number), BTF_LOAD, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    if descriptor < 0:
        return f"{os.strerror(ctypes.get_errno())}\n{log.value.decode()}"
    os.close(descriptor)
    return ""


@pytest.mark.kernel
@pytest.mark.peer
def test_the_kernel_takes_merged_types(objects: list[Path]) -> None:
    units = read_all([section(path) for path in objects])
    replaced = [
        dict.fromkeys(btf.ids_of_kind(Kind.DATASEC)) for btf in units
    ]  # their sizes and offsets are for a linker to fill in
    output = merge(units, replaced)
    variables = [ids[btf.ids_of_kind(Kind.VAR)[0]] for btf, ids in zip(units, output.ids, strict=True)]
    output.add_datasec(".bss", 1024, [(variable, 256 * at, 256) for at, variable in enumerate(variables)])
    assert load(output.write(ByteOrder.LITTLE)) == ""
    assert load(output.write(ByteOrder.BIG)) != ""


@pytest.mark.skipif(not KERNEL_TYPES.exists(), reason=f"no {KERNEL_TYPES}")
def test_the_kernels_own_types_are_as_merged_as_can_be() -> None:
    """They went through pahole's deduplication, which is libbpf's."""
    btf = read_btf(KERNEL_TYPES.read_bytes(), ByteOrder.LITTLE, "vmlinux")
    output = merge([btf], [{}])
    assert len(btf) > 10_000
    assert len(output) == len(btf)
    read = read_btf(output.write(ByteOrder.LITTLE), ByteOrder.LITTLE, "out")
    assert listing(read) == listing(btf)
