"""Which members of an archive take part in a link: those that define what is undefined, and what those need.

The members are gone through from the first to the last, again and again, as GNU ld does. Weak references take
nothing, and neither does what the loader resolves. The order of archives, and groups of them, are
`bpfas.link.inputs`'s part; their format is `bpfas.link.archive`'s.
"""

from __future__ import annotations

import heapq
import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.constants import SymbolBinding
from bpfas.link.archive import read_archive
from bpfas.link.input_file import SLIM_LTO_SYMBOL, Unreadable, read_input_object
from bpfas.objfile import SpecialSection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bpfas.link.archive import Member
    from bpfas.link.options import LinkOptions
    from bpfas.objfile import ObjectFile


class Archive:
    """An archive and what is known of its members, by their numbers.

    `definers` are those who define a name, in ascending order; of what cannot be read, those who do so by the
    archive's index. Raises BpfasError if the archive is damaged.
    """

    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        self.members = read_archive(data, path)
        self.taken: set[int] = set()
        self.objects: list[ObjectFile | Unreadable] = []
        self.definers: dict[str, list[int]] = {}

    def read_members(self) -> None:
        """Fill `objects` and `definers`, if that is not done yet."""
        if self.objects:
            return
        indexed: dict[str, list[int]] = {}
        for number, member in enumerate(self.members):
            obj = _object_of(member)
            self.objects.append(obj)
            if isinstance(obj, Unreadable):
                for name in _indexed(member):
                    indexed.setdefault(name, []).append(number)
                continue
            for symbol in obj.symbols:
                if symbol.is_defined and symbol.st_bind is not SymbolBinding.LOCAL:
                    self.definers.setdefault(symbol.name, []).append(number)
        for name, numbers in indexed.items():
            self.definers.setdefault(name, numbers)

    def members_left_out(self, name: str) -> list[Member]:
        """The members that define `name`, and have not been taken."""
        self.read_members()
        return [self.members[number] for number in self.definers.get(name, ()) if number not in self.taken]

    def members_of_unknown_names(self) -> list[tuple[Member, str]]:
        """The members that seem to be compiled, but not for this linker, so that nobody knows what they define.

        Each comes with what it is.
        """
        return [
            (member, obj.error.diagnostics[0].message)
            for member, obj in zip(self.members, self.objects, strict=False)
            if isinstance(obj, Unreadable) and obj.is_compiled and not _indexed(member)
        ]

    def has_contents(self, number: int, name: str) -> bool:
        """Whether a member defines `name`, not only as a common symbol."""
        obj = self.objects[number]
        return isinstance(obj, Unreadable) or any(
            symbol.name == name and symbol.is_defined and symbol.section is not SpecialSection.COMMON
            for symbol in obj.symbols
            if symbol.st_bind is not SymbolBinding.LOCAL
        )


def _object_of(member: Member) -> ObjectFile | Unreadable:
    try:
        return read_input_object(member.read(), member.shown)
    except BpfasError as error:
        return Unreadable(error, is_compiled=True)


def _indexed(member: Member) -> tuple[str, ...]:
    """The names that the archive's index says a member defines, if whoever made it could read the member."""
    return tuple(name for name in member.indexed if name != SLIM_LTO_SYMBOL)


class Names:
    """What the names of the link so far stand for, as far as it matters for what archives give.

    `undefined` are those that nobody defines, and who refers to them: objects, and options.
    """

    def __init__(self, options: LinkOptions) -> None:
        self.wrapped = options.wrapped
        self.defined = {name for name, _ in options.definitions}
        self.common: dict[str, ObjectFile] = {}
        self.undefined: dict[str, list[ObjectFile | str]] = {}
        self._kernels: dict[ObjectFile, set[str]] = {}
        for names, option in ((options.roots, "-e"), (options.wanted, "-u")):
            for name in names:
                self._refer(name, option)
        for name, expression in options.definitions:
            for used in re.findall(r"[A-Za-z_.$][\w.$]*", expression):
                self._refer(used, f"--defsym {name}")

    def _refer(self, name: str, referrer: ObjectFile | str) -> None:
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
            self._refer(name, obj)
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


def _kernel_externs(obj: ObjectFile) -> set[str]:
    """The names that the loader will find in the kernel, by the types of `obj`; none where those are wrong."""
    from bpfas.link.types import kernel_externs, read_types  # few archives define what an object wants

    return kernel_externs(read_types([obj], Diagnostics()))


def extract(archive: Archive, names: Names, take: Callable[[int, str, str], ObjectFile | None]) -> None:
    """Take the members that define what is undefined, and what those need.

    `take(number, name, referrer)` lets a member take part because `referrer` wants `name`, and gives its object;
    None if it cannot be read, which is reported then.
    """
    while (names.undefined or names.common) and _extract_wanted(archive, names, take):
        pass


def _extract_wanted(archive: Archive, names: Names, take: Callable[[int, str, str], ObjectFile | None]) -> bool:
    """Take what the names so far want, and what that wants in turn; whether there was anything."""
    archive.read_members()
    definers = archive.definers
    waiting: list[tuple[int, int, str]] = []  # in which turn to look at which member, because of which name

    def look_for(wanted: Iterable[str], turn: int, after: int) -> None:
        for name in wanted:
            if numbers := definers.get(name):
                index = bisect_right(numbers, after)
                place = (turn, numbers[index]) if index < len(numbers) else (turn + 1, numbers[0])
                heapq.heappush(waiting, (*place, name))

    look_for(names.undefined.keys() & definers.keys(), 0, -1)
    for name in names.common.keys() & definers.keys():
        for number in definers[name]:
            heapq.heappush(waiting, (0, number, name))
    taken = len(archive.taken)
    while waiting:
        turn, number, name = heapq.heappop(waiting)
        common = names.common.get(name)
        if common and not archive.has_contents(number, name):
            continue
        referrer = common or names.referrer(name)
        if referrer is None or number in archive.taken:
            continue
        archive.taken.add(number)
        obj = take(number, name, referrer if isinstance(referrer, str) else referrer.name)
        if obj is not None:
            look_for(names.add(obj), turn, number)
        else:
            names.define(name)  # nobody else shall be looked for
    return len(archive.taken) > taken
