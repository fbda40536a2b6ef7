"""Which objects take part in a link: what the command line names, and what archives have of what is missing.

The order counts, as in GNU ld: an archive gives what is undefined where it stands; a group of archives is gone
through until nothing comes in any more. Which members an archive gives is `bpfas.link.extraction`'s part, what the
names mean then `bpfas.link.symtab`'s.
"""

from __future__ import annotations

import os
import stat
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from bpfas.cli import STANDARD_STREAM
from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.link.input_file import Unreadable, read_file, read_input_object
from bpfas.link.layout import is_debugging
from bpfas.link.options import Strip, Unresolved
from bpfas.objfile import ObjectFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bpfas.diag import Diagnostics
    from bpfas.link.archive import Member
    from bpfas.link.extraction import Archive, Names
    from bpfas.link.options import LinkOptions

_ARCHIVE_MAGICS = (b"!<arch>\n", b"!<thin>\n")
_MAGIC_SIZE = 8
_MAX_SHOWN = 3


class Input(NamedTuple):
    """A file or a library that the command line names. Inputs of a group have its number; 0 is none.

    With `contents`, those of an object or an archive, or an object itself, no file is read, and `text` is only
    what messages call it.
    """

    text: str
    is_library: bool = False
    whole_archive: bool = False
    group: int = 0
    contents: bytes | ObjectFile | None = None


class Extraction(NamedTuple):
    """Why a member of an archive takes part: `referrer` wants `name`. Without a name all of the archive does."""

    obj: ObjectFile
    name: str
    referrer: str


class Inputs(NamedTuple):
    """What takes part in a link: the objects in their order, and why those did that come from archives.

    `paths` are the files that were read, each once, and `archives` those of them that members are taken from.
    """

    objects: list[ObjectFile]
    extractions: list[Extraction]
    paths: list[str]
    archives: list[Archive]

    def members_left_out(self, name: str) -> list[Member]:
        """The members of archives that define `name`, and do not take part."""
        return [member for archive in self.archives for member in archive.members_left_out(name)]


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
        self.result = Inputs([], [], [], [])
        self.names: Names | None = None
        """What the names stand for of which `noted` objects; nobody asks if there is no archive."""
        self.noted = 0
        self.files: dict[tuple[int, int], str] = {}
        self.archives: dict[tuple[int, int], Archive] = {}
        self.modernized: dict[str, list[str]] = {}
        """The objects that did not say what they mean in the form of today, by what is to be warned of."""

    def read(self, inputs: Sequence[Input]) -> Inputs:
        """All inputs, in their order."""
        for group, items in groupby(inputs, key=lambda item: item.group):
            of_group: list[Archive] = []
            for item in items:
                archive = self.open(item)
                if archive is not None:
                    of_group.append(archive)
                    self.extract(archive)
            while group and sum(map(self.extract, of_group)):
                pass
            self.result.archives.extend(archive for archive in of_group if archive not in self.result.archives)
        if self.result.archives and not self.result.objects and not self.diagnostics.has_errors:
            self.report_unneeded()
        self.warn_of_unknown_names()
        for message, (name, *others) in self.modernized.items():
            self.diagnostics.warning(message, name, _also(others))
        return self.result

    def open(self, item: Input) -> Archive | None:
        """Take the object that `item` names, or all of an archive, or give the archive."""
        path = self.find(item) if item.is_library else item.text
        if path is None:
            return None
        try:
            archive = self.read_file(path) if item.contents is None else self.read_contents(path, item.contents)
        except BpfasError as error:
            self.diagnostics.items += error.diagnostics
            return None
        if archive is None or not item.whole_archive:
            return archive
        archive.read_members()
        for number in range(len(archive.members)):
            if number not in archive.taken:
                archive.taken.add(number)
                self.take(archive, number, "", "")
        return None

    def read_file(self, path: str) -> Archive | None:
        """Take the object in a file, or give the archive, of which there is one even if it is named again."""
        identity = _identity(path)
        if identity in self.archives:
            return self.archives[identity]
        may_repeat = self.options.allow_multiple_definition and path != STANDARD_STREAM
        if identity in self.files and not may_repeat:
            first = self.files[identity]
            other_name = f", first as {first}" if first != path else ""
            raise BpfasError.of(f"{path} is given twice{other_name}; leave one out")
        data = read_file(path)
        self.opened(path, False)
        self.result.paths.append(path)
        if identity:
            self.files[identity] = path
        archive = self.read_contents("<stdin>" if path == STANDARD_STREAM else path, data)
        if identity and archive:
            self.archives[identity] = archive
        return archive

    def read_contents(self, name: str, data: bytes | memoryview | ObjectFile) -> Archive | None:
        """Take the object, or give the archive, that is in `data`."""
        if isinstance(data, ObjectFile):
            self.add_object(data)
            return None
        if bytes(data[:_MAGIC_SIZE]) not in _ARCHIVE_MAGICS:
            # Debugging sections that are left out need not be read, but for messages.
            on_demand = is_debugging if self.options.strip >= Strip.DEBUG else None
            self.add_object(read_input_object(data, name, on_demand))
            return None
        from bpfas.link.extraction import Archive  # many links have none

        return Archive(bytes(data), name)

    def find(self, item: Input) -> str | None:
        """The path of a library; an error names where it was looked for."""
        name = item.text.removeprefix(":") if item.text.startswith(":") else f"lib{item.text}.a"
        for directory in self.directories:
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                return path
        meant = self.library_meant(item.text)
        remedy = f"; did you mean {meant}?" if meant else ""
        self.diagnostics.error(
            f"cannot find -l{item.text}"
            + (remedy if self.directories else "; name the directory that it is in with -L"),
            notes=tuple(f"there is no {os.path.join(directory, name)}" for directory in self.directories),
        )
        return None

    def library_meant(self, text: str) -> str:
        """The option that finds a library whose file's name was given, with `lib` or `.a`; empty if none does."""
        names = {f"lib{text}": f"-l :lib{text}", text: f"-l :{text}", f"{text}.a": f"-l :{text}.a"}
        for name, option in names.items():
            if any(os.path.isfile(os.path.join(directory, name)) for directory in self.directories):
                return option
        return ""

    def add_object(self, obj: ObjectFile | Unreadable) -> ObjectFile | None:
        """Let an object take part; or report why it cannot, and give None."""
        if isinstance(obj, Unreadable):
            self.diagnostics.items += obj.error.diagnostics
            return None
        if self.order not in (None, obj.byte_order):
            self.diagnostics.error(
                f"is {obj.byte_order.name_for_int}-endian, but "
                f"{'-EL' if self.order is ByteOrder.LITTLE else '-EB'} was given",
                obj.name,
            )
        if obj.has_own_section_names:
            from bpfas.elf.old_gnu import modernize  # few objects are GNU's

            try:
                warning = modernize(obj)
            except BpfasError as error:
                self.diagnostics.items += error.diagnostics
                return None
            if warning:
                self.modernized.setdefault(warning, []).append(obj.name)
        self.result.objects.append(obj)
        return obj

    def take(self, archive: Archive, number: int, name: str, referrer: str) -> ObjectFile | None:
        """Let a member take part because `referrer` wants `name`; give None if it cannot."""
        self.opened(archive.members[number].shown, True)
        obj = self.add_object(archive.objects[number])
        if obj is not None:
            self.result.extractions.append(Extraction(obj, name, referrer))
        return obj

    def extract(self, archive: Archive) -> bool:
        """Take of an archive what is wanted so far; whether there was anything."""
        from bpfas.link.extraction import Names, extract

        if self.names is None:
            self.names = Names(self.options)
        for obj in self.result.objects[self.noted :]:
            self.names.add(obj)
        taken = len(archive.taken)
        extract(archive, self.names, lambda number, name, by: self.take(archive, number, name, by))
        self.noted = len(self.result.objects)
        return len(archive.taken) > taken

    def report_unneeded(self) -> None:
        """An error for a link of archives alone, when nothing is wanted of them."""
        paths = ", ".join(archive.path for archive in self.result.archives)
        if any(archive.members for archive in self.result.archives):
            message = f"no member of {paths} is needed: use --whole-archive before it, or -u NAME"
        else:
            message = f"{paths} has no members, so there is nothing to link"
        self.diagnostics.error(message)

    def warn_of_unknown_names(self) -> None:
        """Where names stay undefined, tell of members that may define them for all anybody knows."""
        if self.names is None or self.options.unresolved is Unresolved.IGNORE:
            return
        if not any(map(self.names.referrer, self.names.undefined)):
            return
        for archive in self.result.archives:
            for member, message in archive.members_of_unknown_names():
                self.diagnostics.warning(f"{message}; so it is not known which names it defines", member.shown)


def _also(names: Sequence[str]) -> tuple[str, ...]:
    """Notes that a message is about these as well."""
    shown = tuple(f"so is {name}" for name in names[:_MAX_SHOWN])
    left_out = len(names) - len(shown)
    return (*shown, f"and {left_out} more") if left_out else shown


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
