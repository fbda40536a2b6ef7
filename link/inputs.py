"""Which objects take part in a link: what the command line names, and what archives have of what is missing.

The order counts, as in GNU ld: an archive gives the members that define what is undefined where it stands, and
again what those need; a group of archives is gone through until nothing comes in any more. Weak references pull
nothing, and neither does what the loader resolves. What the names mean then is `bpfas.link.symtab`'s part.
"""

from __future__ import annotations

import heapq
import os
import re
import stat
from bisect import bisect_right
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from bpfas.cli import STANDARD_STREAM, read_input
from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import ByteOrder, SymbolBinding
from bpfas.elf.reader import read_object
from bpfas.link.options import Unresolved
from bpfas.objfile import SpecialSection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bpfas.link.archive import Member
    from bpfas.link.options import LinkOptions
    from bpfas.objfile import ObjectFile

_ARCHIVE_MAGICS = (b"!<arch>\n", b"!<thin>\n")
_COMPILED_MAGICS = (b"\x7fELF", b"BC\xc0\xde", b"\xde\xc0\x17\x0b")
"""How ELF files and LLVM's bitcode begin, which may be wrapped."""

_SLIM_LTO_SYMBOL = "__gnu_lto_slim"
_LINKER_SCRIPT = rb"\s*(?:/\*.*?\*/\s*)*(?:INPUT|GROUP|SECTIONS|OUTPUT_FORMAT|OUTPUT_ARCH|ENTRY|SEARCH_DIR)\s*[({]"
_SOURCES = {
    ".c": "C; compile it first: clang --target=bpf -O2 -c, or bpf-gcc -O2 -c",
    ".h": "C; leave it out",
    ".s": "assembly; assemble it first: bpf-as",
    ".S": "assembly; assemble it first: bpf-gcc -c",
    ".ll": "LLVM's language; compile it first: clang --target=bpf -c",
}
"""What files are that are no objects, by how their names end."""


class Input(NamedTuple):
    """A file or a library that the command line names. Inputs of a group have its number; 0 is none."""

    text: str
    is_library: bool = False
    whole_archive: bool = False
    group: int = 0


class Extraction(NamedTuple):
    """Why a member of an archive takes part: `referrer` wants `name`. Without a name all of the archive does."""

    obj: ObjectFile
    name: str
    referrer: str


class Inputs(NamedTuple):
    """What takes part in a link: the objects in their order, and why those did that come from archives.

    `paths` are the files that were read, each once.
    """

    objects: list[ObjectFile]
    extractions: list[Extraction]
    paths: list[str]


def read_inputs(
    inputs: Sequence[Input],
    directories: Sequence[str],
    options: LinkOptions,
    order: ByteOrder | None,
    diagnostics: Diagnostics,
    opened: Callable[[str, bool], None],
) -> Inputs:
    """Read what the command line names; libraries are looked for in `directories`.

    Every object must have the byte order `order`, if that is not None. `opened` is told the name of each file
    that is read, and of each member that is taken (then with True). What is wrong goes to `diagnostics`.
    """
    return _Reader(directories, options, order, diagnostics, opened).read(inputs)


class _Unreadable(NamedTuple):
    """What cannot take part in a link: why, and whether it looks like what a compiler makes."""

    error: BpfasError
    is_compiled: bool


class _Archive(NamedTuple):
    """An archive and what is known of its members, by their numbers."""

    members: list[Member]
    objects: list[ObjectFile | _Unreadable]
    """What each member is, or why it cannot be read."""
    definers: dict[str, list[int]]
    """Who defines a name, in ascending order; of what cannot be read, who does so by the archive's index."""
    taken: set[int]


class _Names:
    """What the names of the link so far stand for, as far as it matters for what archives give."""

    def __init__(self, options: LinkOptions) -> None:
        self.wrapped = options.wrapped
        self.defined = {name for name, _ in options.definitions}
        self.common: dict[str, ObjectFile] = {}
        self.undefined: dict[str, list[ObjectFile | str]] = {}
        """Who refers to a name: objects, and options."""
        self._kernels: dict[ObjectFile, set[str]] = {}
        for names, option in ((options.roots, "-e"), (options.wanted, "-u")):
            for name in names:
                self.refer(name, option)
        for name, expression in options.definitions:
            for used in re.findall(r"[A-Za-z_.$][\w.$]*", expression):
                self.refer(used, f"--defsym {name}")

    def refer(self, name: str, referrer: ObjectFile | str) -> None:
        """Note a strong reference."""
        if name not in self.defined and name not in self.common:
            self.undefined.setdefault(name, []).append(referrer)

    def define(self, name: str) -> None:
        """Note a definition that is no common symbol."""
        self.defined.add(name)
        self.common.pop(name, None)
        self.undefined.pop(name, None)

    def add(self, obj: ObjectFile) -> list[str]:
        """Note what `obj` defines and refers to; gives the names that it refers to."""
        references = []
        for symbol in obj.symbols:
            if symbol.st_bind is SymbolBinding.LOCAL:
                continue
            if symbol.section is SpecialSection.COMMON:
                if symbol.name not in self.defined:
                    self.common.setdefault(symbol.name, obj)
                    self.undefined.pop(symbol.name, None)
            elif symbol.is_defined:
                self.define(symbol.name)
            elif symbol.st_bind is not SymbolBinding.WEAK:
                references.append(self._meant_by(symbol.name))
        for name in references:
            self.refer(name, obj)
        return references

    def _meant_by(self, name: str) -> str:
        """The name that a reference to `name` is to, given --wrap."""
        if name in self.wrapped:
            return f"__wrap_{name}"
        real = name.removeprefix("__real_")
        return real if real in self.wrapped else name

    def referrer(self, name: str) -> ObjectFile | str | None:
        """The first that wants somebody to define `name`; None if nobody does, or if the loader resolves it."""
        return next((by for by in self.undefined.get(name, ()) if not self._is_kernels(name, by)), None)

    def _is_kernels(self, name: str, referrer: ObjectFile | str) -> bool:
        if isinstance(referrer, str):
            return False
        if referrer not in self._kernels:
            self._kernels[referrer] = _kernel_externs(referrer)
        return name in self._kernels[referrer]


class _Reader:
    """The state of reading the inputs of one link."""

    def __init__(
        self,
        directories: Sequence[str],
        options: LinkOptions,
        order: ByteOrder | None,
        diagnostics: Diagnostics,
        opened: Callable[[str, bool], None],
    ) -> None:
        self.directories = directories
        self.options = options
        self.order = order
        self.diagnostics = diagnostics
        self.opened = opened
        self.result = Inputs([], [], [])
        self.names = _Names(options)
        self.unnoted: list[ObjectFile] = []
        """Objects whose symbols are not in `names` yet; they need not be if no archive follows."""
        self.files: dict[tuple[int, int], str] = {}
        self.archives: dict[tuple[int, int], _Archive] = {}

    def read(self, inputs: Sequence[Input]) -> Inputs:
        """All inputs, in their order."""
        archives: list[_Archive] = []
        for group, items in groupby(inputs, key=lambda item: item.group):
            of_group: list[_Archive] = []
            for item in items:
                archive = self.open(item)
                if archive is not None:
                    of_group.append(archive)
                    self.pull(archive)
            while group and sum(map(self.pull, of_group)):
                pass
            archives += of_group
        self.warn_of_unknown_members(archives)
        return self.result

    def open(self, item: Input) -> _Archive | None:
        """Take the object that `item` names, or all of an archive, or give the archive."""
        path = self.find(item) if item.is_library else item.text
        if path is None:
            return None
        try:
            archive = self.read_file(path)
        except BpfasError as error:
            self.diagnostics.items += error.diagnostics
            return None
        if archive is None or not item.whole_archive:
            return archive
        _read_members(archive)
        for number in range(len(archive.members)):
            if number not in archive.taken:
                self.take(archive, number, "", "")
        return None

    def read_file(self, path: str) -> _Archive | None:
        """Take the object in a file, or give the archive, of which there is one even if it is named again."""
        identity = _identity(path)
        if identity in self.archives:
            return self.archives[identity]
        may_repeat = self.options.allow_multiple_definition and path != STANDARD_STREAM
        if identity in self.files and not may_repeat:
            first = self.files[identity]
            other_name = f", first as {first}" if first != path else ""
            raise BpfasError.of(f"{path} is given twice{other_name}; leave one out")
        data = _read(path)
        self.opened(path, False)
        self.result.paths.append(path)
        if identity:
            self.files[identity] = path
        name = "<stdin>" if path == STANDARD_STREAM else path
        if not data.startswith(_ARCHIVE_MAGICS):
            self.add_object(_object(data, name))
            return None
        from bpfas.link.archive import read_archive  # many links have none

        archive = _Archive(read_archive(data, name), [], {}, set())
        if identity:
            self.archives[identity] = archive
        return archive

    def find(self, item: Input) -> str | None:
        """The path of a library; an error names where it was looked for."""
        name = item.text.removeprefix(":") if item.text.startswith(":") else f"lib{item.text}.a"
        for directory in self.directories:
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                return path
        self.diagnostics.error(
            f"cannot find -l{item.text}"
            + ("" if self.directories else "; name the directory that it is in with -L"),
            notes=tuple(f"there is no {os.path.join(directory, name)}" for directory in self.directories),
        )
        return None

    def add_object(self, obj: ObjectFile | _Unreadable) -> None:
        """Let an object take part, or report why it cannot."""
        if isinstance(obj, _Unreadable):
            self.diagnostics.items += obj.error.diagnostics
            return
        if self.order not in (None, obj.byte_order):
            self.diagnostics.error(
                f"is {obj.byte_order.name_for_int}-endian, but "
                f"{'-EL' if self.order is ByteOrder.LITTLE else '-EB'} was given",
                obj.name,
            )
        self.result.objects.append(obj)
        self.unnoted.append(obj)

    def pull(self, archive: _Archive) -> bool:
        """Take the members that define what is undefined, and what those need; whether there were any.

        The members are gone through from the first to the last, again and again, as GNU ld does.
        """
        for obj in self.unnoted:
            self.names.add(obj)
        self.unnoted.clear()
        was_taken = False
        while (self.names.undefined or self.names.common) and self.pull_wanted(archive):
            was_taken = True
        return was_taken

    def pull_wanted(self, archive: _Archive) -> bool:
        """Take what the names so far want, and what that wants in turn."""
        _read_members(archive)
        definers = archive.definers
        waiting: list[tuple[int, int, str]] = []  # in which turn to look at which member, because of which name

        def look_for(names: Iterable[str], turn: int, after: int) -> None:
            for name in names:
                if numbers := definers.get(name):
                    index = bisect_right(numbers, after)
                    next_one = (turn, numbers[index]) if index < len(numbers) else (turn + 1, numbers[0])
                    heapq.heappush(waiting, (*next_one, name))

        look_for(self.names.undefined.keys() & definers.keys(), 0, -1)
        for name in self.names.common.keys() & definers.keys():
            for number in definers[name]:
                heapq.heappush(waiting, (0, number, name))
        taken = len(archive.taken)
        while waiting:
            turn, number, name = heapq.heappop(waiting)
            common = self.names.common.get(name)
            if common and not _has_contents(archive.objects[number], name):
                continue
            referrer = common or self.names.referrer(name)
            if referrer is None or number in archive.taken:
                continue
            self.take(archive, number, name, referrer if isinstance(referrer, str) else referrer.name)
            for obj in self.unnoted:
                look_for(self.names.add(obj), turn, number)
            self.unnoted.clear()
            if isinstance(archive.objects[number], _Unreadable):
                self.names.define(name)  # that this failed is reported; nobody else shall be looked for
        return len(archive.taken) > taken

    def take(self, archive: _Archive, number: int, name: str, referrer: str) -> None:
        """Let a member take part because `referrer` wants `name`."""
        archive.taken.add(number)
        obj = archive.objects[number]
        self.opened(archive.members[number].shown, True)
        self.add_object(obj)
        if not isinstance(obj, _Unreadable):
            self.result.extractions.append(Extraction(obj, name, referrer))

    def warn_of_unknown_members(self, archives: Iterable[_Archive]) -> None:
        """Where names stay undefined, tell of members that cannot be read and may define them."""
        if self.options.unresolved is Unresolved.IGNORE or not any(map(self.names.referrer, self.names.undefined)):
            return
        for archive in {id(archive): archive for archive in archives}.values():
            for member, obj in zip(archive.members, archive.objects, strict=False):
                if isinstance(obj, _Unreadable) and obj.is_compiled and not _indexed(member):
                    why = obj.error.diagnostics[0].message
                    self.diagnostics.warning(f"{why}; so it is not known which names it defines", member.shown)


def _identity(path: str) -> tuple[int, int] | None:
    """What a file is known by, whatever its path; None of what is no file.

    Standard input has one too, for it can be read but once."""
    if path == STANDARD_STREAM:
        return -1, -1
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _read(path: str) -> bytes:
    """The bytes of an input. Raises BpfasError if it can't be read."""
    if os.path.isdir(path):
        raise BpfasError.of(f"{path} is a directory; name the files in it, or with -L let -l look there")
    return read_input(path)


def _object(data: bytes, name: str) -> ObjectFile | _Unreadable:
    """The object in a file, or what the file is else and what to do about it."""
    try:
        if not data.startswith(_COMPILED_MAGICS):
            _refuse_text(data, name)
        obj = read_object(data, name)
        if obj.symbol(_SLIM_LTO_SYMBOL):
            raise BpfasError.of(
                "is an object for GCC's link-time optimisation, without code; "
                "compile it without -flto, or with -ffat-lto-objects",
                name,
            )
    except BpfasError as error:
        return _Unreadable(error, data.startswith(_COMPILED_MAGICS))
    return obj


def _refuse_text(data: bytes, name: str) -> None:
    """Raise BpfasError for what is known to be text of some kind."""
    if re.match(_LINKER_SCRIPT, data[:4096], re.DOTALL):
        raise BpfasError.of(
            "is a linker script; objects for BPF have no addresses to lay out: name the objects instead", name
        )
    ending = os.path.splitext(name.rstrip(")"))[1]
    if ending in _SOURCES and b"\0" not in data[:4096]:
        raise BpfasError.of(f"is {_SOURCES[ending]}", name)


def _read_members(archive: _Archive) -> None:
    """Read what is in an archive, if that is not done yet."""
    if archive.objects:
        return
    indexed: dict[str, list[int]] = {}
    for number, member in enumerate(archive.members):
        try:
            obj = _object(member.read(), member.shown)
        except BpfasError as error:
            obj = _Unreadable(error, is_compiled=True)
        archive.objects.append(obj)
        if isinstance(obj, _Unreadable):
            for name in _indexed(member):
                indexed.setdefault(name, []).append(number)
            continue
        for symbol in obj.symbols:
            if symbol.is_defined and symbol.st_bind is not SymbolBinding.LOCAL:
                archive.definers.setdefault(symbol.name, []).append(number)
    for name, numbers in indexed.items():
        archive.definers.setdefault(name, numbers)


def _kernel_externs(obj: ObjectFile) -> set[str]:
    """The names that the loader will find in the kernel, by the types of `obj`; none where those are wrong."""
    from bpfas.link.types import kernel_externs, read_types  # few archives define what an object wants

    return kernel_externs(read_types([obj], Diagnostics()))


def _indexed(member: Member) -> tuple[str, ...]:
    """The names that the archive's index says a member defines, if whoever made it could read the member."""
    return tuple(name for name in member.indexed if name != _SLIM_LTO_SYMBOL)


def _has_contents(obj: ObjectFile | _Unreadable, name: str) -> bool:
    """Whether `obj` defines `name`, not only as a common symbol."""
    return isinstance(obj, _Unreadable) or any(
        symbol.name == name and symbol.is_defined and symbol.section is not SpecialSection.COMMON
        for symbol in obj.symbols
        if symbol.st_bind is not SymbolBinding.LOCAL
    )
