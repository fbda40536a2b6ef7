"""The functions of an executable or a shared library, and where in the file they begin.

From .dynsym (with symbol versions) and .symtab; of a stripped file also from the symbols that it carries
compressed (.gnu_debugdata) and from the debug file of its build id. Sources: the ELF specification; the GNU symbol
versioning document; the GDB manual, "MiniDebugInfo" and "Separate Debug Files".
"""

from __future__ import annotations

import errno
import fnmatch
import lzma
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.elf.constants import SectionType, SymbolBinding, SymbolType
from bpfas.loader.attach.binary import Binary, open_binary
from bpfas.loader.attach.kernel_functions import nearest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_DYNSYM, _VERDEF, _VERSYM = 11, 0x6FFFFFFD, 0x6FFFFFFF
_HIDDEN_VERSION = 0x8000
_DEBUG_FILES = Path("/usr/lib/debug/.build-id")
_NT_GNU_BUILD_ID = 3


class BinaryFunction(NamedTuple):
    """A function: `version` is `V` of `name@V`; the default one of several is not `is_old`."""

    name: str
    version: str
    is_old: bool
    is_weak: bool
    is_indirect: bool
    address: int


class FunctionNotFoundError(BpfasError):
    """A binary has no such function, or several. `errno` is ENOENT or EINVAL."""

    def __init__(self, message: str, remedy: str, number: int) -> None:
        super().__init__([Diagnostic(Severity.ERROR, message, None, (remedy,) if remedy else ())])
        self.cause = message
        self.remedy = remedy
        self.errno = number


def functions(binary: Binary) -> Iterator[BinaryFunction]:
    """All functions that the file's own symbol tables define, .dynsym first."""
    for kind in (_DYNSYM, SectionType.SYMTAB):
        yield from _table(binary, kind, (SymbolType.FUNC, SymbolType.GNU_IFUNC))


def data_addresses(binary: Binary, name: str) -> set[int]:
    """The virtual addresses of the variables called `name`."""
    tables = (
        _table(binary, kind, (SymbolType.OBJECT, SymbolType.NOTYPE)) for kind in (_DYNSYM, SectionType.SYMTAB)
    )
    return {each.address for table in tables for each in table if each.name == name}


def function_offset(binary: Binary, name: str) -> int:
    """Where in the file the function `name` begins; `name@V` and `name@@V` say which version.

    Raises FunctionNotFoundError.
    """
    found = [each for each in functions(binary) if _is_called(each, name)] or _in_debug_symbols(binary, name)
    if not found:
        known = {each.name for each in functions(binary)}
        similar = nearest_of(name.partition("@")[0], known)
        remedy = similar or ("it is stripped: give the offset of the function" if not known else "check the name")
        raise FunctionNotFoundError(f"{binary.name} has no function '{name}'", remedy, errno.ENOENT)
    newest = [each for each in found if not each.is_old] or found
    if all(each.is_indirect for each in newest):
        raise FunctionNotFoundError(
            f"'{name}' of {binary.name} is chosen from several functions when the program starts (GNU_IFUNC)",
            "probe the functions that it is chosen from",
            errno.EINVAL,
        )
    direct = [each for each in newest if not each.is_indirect]
    strong = [each for each in direct if not each.is_weak] or direct
    addresses = sorted({each.address for each in strong})
    if len(addresses) > 1:
        places = ", ".join(f"{address:#x}" for address in addresses)
        raise FunctionNotFoundError(
            f"{binary.name} has {len(addresses)} functions '{name}' (at {places})",
            "give the offset of the one that is meant",
            errno.EINVAL,
        )
    return _offset(binary, addresses[0], name)


def matching_offsets(binary: Binary, pattern: str) -> dict[int, str]:
    """The functions whose names match `pattern` (`*`, `?`), by where in the file they begin.

    Raises FunctionNotFoundError where there is none.
    """
    found: dict[int, str] = {}
    for each in functions(binary):
        if not each.is_indirect and fnmatch.fnmatchcase(each.name, pattern):
            offset = binary.file_offset(each.address)
            if offset is not None:
                found.setdefault(offset, each.name)
    if not found:
        raise FunctionNotFoundError(
            f"no function of {binary.name} matches '{pattern}'", "nm and nm -D list its functions", errno.ENOENT
        )
    return dict(sorted(found.items()))


def _offset(binary: Binary, address: int, name: str) -> int:
    offset = binary.file_offset(address)
    if offset is None:
        raise FunctionNotFoundError(
            f"'{name}' of {binary.name} is at {address:#x}, which is not in the file",
            "check that it is the file that runs, not its debug file",
            errno.EINVAL,
        )
    return offset


def _is_called(function: BinaryFunction, name: str) -> bool:
    stem, at, version = name.partition("@")
    if function.name != stem:
        return False
    if not at:
        return True
    return function.version == version.removeprefix("@") and not (version.startswith("@") and function.is_old)


def _table(binary: Binary, kind: int, types: tuple[SymbolType, ...]) -> Iterator[BinaryFunction]:
    """What the symbol table of this section type defines of these types."""
    index = next((index for index, section in enumerate(binary.sections) if section.type == kind), None)
    if index is None:
        return
    table = binary.sections[index]
    if table.link >= len(binary.sections):
        return
    strings = binary.contents(binary.sections[table.link])
    entry = struct.Struct(binary.order + ("IBBHQQ" if binary.is_64bit else "IIIBBH"))
    data = binary.contents(table)
    data = data[: len(data) // entry.size * entry.size]
    numbers, names = _versions(binary, index)
    for number, row in enumerate(entry.iter_unpack(data)):
        name_at, info, place, address = (
            (row[0], row[1], row[3], row[4]) if binary.is_64bit else (row[0], row[3], row[5], row[1])
        )
        kind_of = info & 0xF
        if kind_of not in types or not place or not address:
            continue
        text = strings[name_at : strings.find(b"\0", name_at)].decode(errors="replace")
        name, at, version = text.partition("@")
        is_old = bool(at) and not version.startswith("@")
        if number < len(numbers):
            version = names.get(numbers[number] & ~_HIDDEN_VERSION, "")
            is_old = bool(numbers[number] & _HIDDEN_VERSION)
        weak = info >> 4 == SymbolBinding.WEAK
        yield BinaryFunction(
            name, version.removeprefix("@"), is_old, weak, kind_of == SymbolType.GNU_IFUNC, address
        )


def _versions(binary: Binary, table_index: int) -> tuple[tuple[int, ...], dict[int, str]]:
    """Of each symbol of .dynsym the number of its version, and the names of the versions that the file defines."""
    versym = next((each for each in binary.sections if each.type == _VERSYM and each.link == table_index), None)
    verdef = next((each for each in binary.sections if each.type == _VERDEF), None)
    if versym is None:
        return (), {}
    data = binary.contents(versym)
    numbers = struct.unpack(f"{binary.order}{len(data) // 2}H", data[: len(data) // 2 * 2])
    names: dict[int, str] = {}
    if verdef is None or verdef.link >= len(binary.sections):
        return numbers, names
    strings = binary.sections[verdef.link]
    at = verdef.offset
    try:
        for _ in range(verdef.info):
            _, _, number, _, _, auxiliary, following = binary.unpack("HHHHIII", at)
            (name_at,) = binary.unpack("I", at + auxiliary)
            names[number] = binary.string(strings.offset + name_at, strings.offset + strings.size)
            if not following:
                break
            at += following
    except struct.error:
        pass  # a damaged table: the versions that it has named up to there are good
    return numbers, names


def _in_debug_symbols(binary: Binary, name: str) -> list[BinaryFunction]:
    """Functions of a stripped file by what else has its symbols."""
    found: list[BinaryFunction] = []
    compressed = binary.section_named(".gnu_debugdata")
    if compressed is not None:
        try:
            data = lzma.decompress(binary.contents(compressed))
            inner = Binary(binary.name, binary.path, data, 0, len(data))
        except (lzma.LZMAError, BpfasError):
            pass
        else:
            found = [each for each in functions(inner) if _is_called(each, name)]
    build_id = _build_id(binary)
    if not found and build_id:
        path = _DEBUG_FILES / build_id[:2] / f"{build_id[2:]}.debug"
        if path.exists():
            with open_binary(str(path)) as debug:
                found = [each for each in functions(debug) if _is_called(each, name)]
    return found


def _build_id(binary: Binary) -> str:
    section = binary.section_named(".note.gnu.build-id")
    if section is None:
        return ""
    data = binary.contents(section)
    if len(data) < 16:
        return ""
    name_size, size, kind = struct.unpack_from(f"{binary.order}III", data)
    start = 12 + (name_size + 3) // 4 * 4
    return data[start : start + size].hex() if kind == _NT_GNU_BUILD_ID else ""
