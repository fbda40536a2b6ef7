"""The types of kernels and modules: found by name, kept from one process to the next, read from files."""

from __future__ import annotations

import os
import threading
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfas.btf.kinds import Kind
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.loader.core.flavours import stem_of
from bpfas.loader.kernel.names import NameTable
from bpfas.loader.kernel.type_files import VMLINUX_BTF, module_in_file, running_types, types_in_file
from bpfas.loader.kernel.type_index import walk
from bpfas.loader.kernel.types import KernelTypes, ModuleTypes
from bpfas.user_cache import cache_directory
from tests.btf.builders import Types, listing, section
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDER = ByteOrder.LITTLE


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; gives the directory of its files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(cache_directory())


def vmlinux() -> Types:
    types = Types()
    number = types.integer()
    types.struct("task", 4, [("pid", number, 0)])
    types.struct("task___2", 4, [("pid", number, 0)])
    types.struct("tasks", 4, [("pid", number, 0)])
    types.typedef("task", number)
    types.struct("", 4, [("x", number, 0)])
    types.func("task", types.prototype(0, [("a", number)]))
    types.var("counter", number)
    return types


def module_bytes(base: Types) -> bytes:
    """BTF that goes on behind that of `base`: a struct `own` with a member of a type of the base, and a `task`."""
    base_strings = base.strings
    own = b"own\0member\0late_func\0"  # without an empty string, which the base has
    at = len(base_strings) - 1
    types = Types()
    types.words = [at + 1, 4 << 24 | 1, 4, at + 5, 1, 0]  # struct own { int member; }
    types.words += [base.texts[b"task"], 4 << 24, 4]  # struct task {}
    types.words += [0, 13 << 24, 0, at + 12, 12 << 24 | 1, base.count + 3]  # void late_func(void)
    return section(array("I", types.words).tobytes(), own)


def test_types_by_name_and_stem() -> None:
    types = KernelTypes("vmlinux", vmlinux().read())
    assert list(types.ids_named("task")) == [2, 5, 8]
    assert list(types.ids_with_stem("task")) == [2, 3, 5]
    assert list(types.ids_named("task___2")) == [3]
    assert list(types.ids_named("counter")) == [9]
    assert list(types.ids_with_stem("counter")) == []
    assert list(types.ids_named("tas")) == list(types.ids_named("")) == []
    assert types.names(Kind.STRUCT) == ["task", "task___2", "tasks"]
    assert types.names(Kind.FUNC, Kind.VAR, Kind.TYPEDEF) == ["task", "task", "counter"]


def test_trusted_types_are_those_that_the_reader_finds() -> None:
    data = vmlinux().data()
    trusted = KernelTypes.trusted(data, ORDER, "vmlinux")
    assert listing(trusted.btf) == listing(read_btf(data, ORDER, "vmlinux"))
    assert trusted.first_own_id == 1


def test_a_module_has_its_own_types_behind_those_of_vmlinux() -> None:
    base = vmlinux()
    kernel = KernelTypes("vmlinux", base.read("vmlinux"))
    module = ModuleTypes("nf", module_bytes(base), kernel, "/sys/kernel/btf/nf")
    assert module.first_own_id == 10
    assert list(module.ids_named("own")) == [10]
    assert list(module.ids_with_stem("task")) == [11]
    assert list(module.ids_named("late_func")) == [13]
    assert list(module.ids_named("tasks")) == []
    assert listing(module.btf)[:9] == listing(kernel.btf)
    assert listing(module.btf)[9:] == [
        "10 STRUCT own 4 {member:1@0/0}",
        "11 STRUCT task 4 {}",
        "12 FUNC_PROTO - 0 ()",
        "13 FUNC late_func 12 GLOBAL",
    ]


def test_a_module_out_of_a_file_is_the_same(tmp_path: Path) -> None:
    base = vmlinux()
    (tmp_path / "vmlinux").write_bytes(base.data())
    (tmp_path / "nf.btf").write_bytes(module_bytes(base))
    kernel = types_in_file(tmp_path / "vmlinux")
    module = module_in_file(tmp_path / "nf.btf", kernel)
    assert module.name == "nf"
    assert list(module.ids_named("own")) == [10]
    assert list(module.ids_with_stem("task")) == [11]
    assert module.first_own_id == 10


def test_a_damaged_module_is_told(tmp_path: Path) -> None:
    base = vmlinux()
    (tmp_path / "vmlinux").write_bytes(base.data())
    (tmp_path / "nf.btf").write_bytes(module_bytes(base).replace(b"own", b"\0\0\0")[:-1])
    with pytest.raises(BpfasError, match=r"nf\.btf"):
        module_in_file(tmp_path / "nf.btf", types_in_file(tmp_path / "vmlinux"))


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (b"", "is neither BTF"),
        (b"hello", "is neither BTF"),
        (b"\x7fELF", "is a damaged ELF file"),
        (b"\x9f\xeb\1\0" + bytes(8), "its header alone has 24"),
        (vmlinux().data()[:-1], "reach from"),
    ],
    ids=["empty", "text", "ELF", "header", "cut"],
)
def test_files_that_hold_no_types(tmp_path: Path, contents: bytes, text: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(contents)
    with pytest.raises(BpfasError, match=text):
        types_in_file(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BpfasError, match="cannot be read: No such file or directory"):
        types_in_file(tmp_path / "nothing")


@pytest.mark.peer
def test_types_in_elf_files(tmp_path: Path) -> None:
    source, path = tmp_path / "a.c", tmp_path / "a.o"
    source.write_text("struct task { int pid; } task;")
    Peer.CLANG.run("--target=bpf", "-g", "-c", source, "-o", path)
    types = types_in_file(path)
    assert [types.btf.kind(type_id) for type_id in types.ids_named("task")] == [Kind.STRUCT, Kind.VAR]
    Peer.LLVM_OBJCOPY.run("--remove-section=.BTF", path)
    with pytest.raises(BpfasError, match=r"has no section \.BTF"):
        types_in_file(path)


@pytest.mark.parametrize("order", ByteOrder)
def test_files_of_either_byte_order(tmp_path: Path, order: ByteOrder) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(vmlinux().data(order))
    types = types_in_file(path)
    assert types.btf.order is order
    assert list(types.ids_with_stem("task")) == [2, 3, 5]


def asked(data: bytes) -> list[list[int]]:
    """What types that are kept say."""
    types = KernelTypes.trusted(data, ORDER, "vmlinux")
    return [list(types.ids_with_stem("task")), list(types.ids_named("task")), list(types.btf.starts)]


def test_what_was_found_is_kept(cache: Path) -> None:
    data = vmlinux().data()
    first = asked(data)
    files = {path.name: path.read_bytes() for path in cache.iterdir()}
    assert len(files) == 3
    assert asked(data) == first
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == files


def damaged(contents: bytes) -> Iterator[bytes]:
    yield b""
    yield contents[:7]
    yield contents[:-1]
    yield contents + b"\0"
    for at in range(0, len(contents), 5):
        yield contents[:at] + bytes((contents[at] ^ 0x41,)) + contents[at + 1 :]


def test_damage_to_what_is_kept_is_noticed_and_mended(cache: Path) -> None:
    data = vmlinux().data()
    expected = asked(data)
    for path in sorted(cache.iterdir()):
        good = path.read_bytes()
        for bad in damaged(good):
            path.write_bytes(bad)
            assert asked(data) == expected
            assert path.read_bytes() == good


def test_other_contents_are_kept_apart() -> None:
    types = vmlinux()
    asked(types.data())
    other = types.data().replace(b"tasks", b"talks")
    assert list(KernelTypes.trusted(other, ORDER, "vmlinux").ids_with_stem("talks")) == [4]
    assert list(KernelTypes.trusted(types.data(), ORDER, "vmlinux").ids_with_stem("talks")) == []


BUILD_ID = "4a5a9b0affb66c43"


def test_an_index_of_other_types_is_noticed(cache: Path) -> None:
    """As if a file of the same sizes, alike where it is looked at, had been put in the place of the kernel's."""
    types, other = vmlinux(), Types()
    other.integer()
    other.integer("long")
    KernelTypes.trusted(other.data(), ORDER, "vmlinux")
    (wrong,) = [path.read_bytes() for path in cache.glob("types-*")]
    expected = asked(types.data())
    (path,) = cache.glob(f"types-{len(types.words) * 4:x}-*")
    path.write_bytes(wrong)
    assert asked(types.data()) == expected
    assert path.read_bytes() != wrong


def test_types_of_a_kernel_with_a_build_id_are_known_by_a_part_of_them(cache: Path) -> None:
    types = vmlinux()
    data = types.data()
    assert list(KernelTypes.trusted(data, ORDER, "vmlinux", build_id=BUILD_ID).ids_with_stem("tasks")) == [4]
    assert {path.name.rpartition("-")[2] for path in cache.iterdir()} == {BUILD_ID}
    other = data.replace(b"tasks", b"talks")
    found = KernelTypes.trusted(other, ORDER, "vmlinux", build_id=BUILD_ID)
    assert list(found.ids_with_stem("talks")) == [4]
    again = KernelTypes.trusted(data, ORDER, "vmlinux", build_id="other")
    assert list(again.ids_with_stem("tasks")) == [4]
    assert len(list(cache.glob("names-*"))) == 3


def test_files_of_kernels_that_were_are_removed_but_for_the_newest(cache: Path) -> None:
    data = vmlinux().data()
    for number in range(7):
        KernelTypes.trusted(data, ORDER, "vmlinux", build_id=f"id{number}").ids_named("task")
        for path in cache.glob(f"*-id{number}"):
            os.utime(path, (number, number))
    (cache / "templates-0.json").write_bytes(b"{}")
    KernelTypes.trusted(data, ORDER, "vmlinux", build_id="last").ids_named("task")
    kept = {path.name.rpartition("-")[2] for path in cache.iterdir()}
    assert kept == {"id4", "id5", "id6", "last", "0.json"}


def test_nothing_is_kept_where_nothing_can_be(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"a file where the directory should be")
    assert asked(vmlinux().data())[0] == [2, 3, 5]


def test_many_writers_at_once() -> None:
    data = vmlinux().data()
    expected = asked(data)
    found: list[list[list[int]]] = []

    def work() -> None:
        for _ in range(20):
            for name in os.listdir(cache_directory()):
                if not name.startswith("."):
                    Path(cache_directory(), name).unlink(missing_ok=True)
            found.append(asked(data))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 80


def test_a_kind_that_is_not_known_ends_the_walk() -> None:
    with pytest.raises(BpfasError, match="has a type of kind 20, which is not known here"):
        walk(array("I", [0, 20 << 24, 0]), "vmlinux")


NAMES = st.text(alphabet="ab_", max_size=9)


@given(st.lists(NAMES, max_size=30), NAMES)
def test_a_table_of_names_finds_what_a_search_would(names: list[str], wanted: str) -> None:
    table = NameTable.of((number, name.encode()) for number, name in enumerate(names, 1))
    pairs = [(number, name) for number, name in enumerate(names, 1) if name]
    assert table.names() == [name for _, name in pairs]
    assert table.called(wanted) == [number for number, name in pairs if name == wanted]
    assert table.with_stem(wanted) == [number for number, name in pairs if stem_of(name) == wanted]


@pytest.mark.kernel
def test_the_running_kernel_as_the_reader_finds_it() -> None:
    if not VMLINUX_BTF.exists():
        pytest.skip("the kernel has no BTF")
    types = running_types()
    assert types is not None
    read = read_btf(VMLINUX_BTF.read_bytes(), types.btf.order, "vmlinux")
    assert (types.btf.words, types.btf.starts, types.btf.kinds) == (read.words, read.starts, read.kinds)
    assert [read.name(type_id) for type_id in types.ids_named("task_struct")] == ["task_struct"]
    functions = [type_id for type_id in types.ids_named("vfs_read") if read.kind(type_id) is Kind.FUNC]
    assert functions
