"""The bytes of an ELF relocatable file for BPF, whoever wrote it, to an ObjectFile.

Accepts ELF64 of either byte order, ET_REL, for machine BPF or none. The file is not trusted: whatever is wrong
with it is reported, as much of it in one run as makes sense, in a BpfasError. What is promised of the result:
every relocation names a symbol of the object and its field lies inside its section. What types and symbols
*mean* is left to who takes the object.

Compressed sections come uncompressed. Where that is beyond Python's own library, one stays as it is, flag and all,
and without its relocations, whose offsets are those of the uncompressed contents.

Here is the order of the steps. Each is a module: `file_header`, `section_headers`, `symbol_table`, `relocations`,
`references`; for compressed sections, `compression`. Source: gABI chapters 4 and 5.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bpfas.diag import BpfasError, Diagnostics
from bpfas.elf.compression import is_readable, read_compression_header, uncompressed
from bpfas.elf.constants import SectionFlag, SectionType
from bpfas.elf.file_header import read_file_header
from bpfas.elf.references import read_references
from bpfas.elf.relocations import read_relocations, relocated_section
from bpfas.elf.section_headers import ElfFile
from bpfas.elf.symbol_table import read_symbols
from bpfas.objfile import ObjectFile, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.elf.section_headers import SectionHeader
    from bpfas.objfile import Symbol


def read_object(
    data: bytes | memoryview, name: str, *, on_demand: Callable[[Section], bool] | None = None
) -> ObjectFile:
    """The object that the ELF file `data` holds; `name` is what messages call it.

    The symbol table, the string tables it and the section headers use, and the relocation sections are
    consumed: symbols and relocations stand in the result instead. Names that are not UTF-8 come with
    surrogate escapes, which the writer turns back. Raises BpfasError with everything that is wrong.

    Sections that `on_demand` accepts, by what their headers say, have their contents and relocations read when
    somebody asks for them; who asks may get the BpfasError then.
    """
    header = read_file_header(data, name)
    file = ElfFile(data, name, header)
    # From here on every section's contents lie inside the file and every table has a sane shape.
    sections = _make_sections(file, on_demand)
    symbols = read_symbols(file, sections)
    file.diagnostics.raise_if_errors()
    # From here on every symbol's section is known.
    for index, section_header in enumerate(file.headers):
        if section_header.sh_type in (SectionType.REL, SectionType.RELA):
            target = relocated_section(file, index, sections)
            if target is not None and target.sh_flags & SectionFlag.COMPRESSED:
                continue
            if isinstance(target, _SectionOnDemand):
                target.add_relocations(section_header, symbols)
            elif target is not None:
                read_relocations(file, section_header, target, symbols)
    read_references(file, sections, symbols)
    file.diagnostics.raise_if_errors()
    return ObjectFile(
        name,
        header.order,
        list(sections.values()),
        [symbol for symbol in symbols if symbol is not None],
        header.e_flags,
        bool(file.symtab_index) and file.headers[file.symtab_index].sh_link != header.e_shstrndx,
    )


def _make_sections(file: ElfFile, on_demand: Callable[[Section], bool] | None) -> dict[int, Section]:
    """The sections that hold something of their own, by index."""
    sections = {}
    for index, header in enumerate(file.headers):
        if index in file.consumed:
            continue
        section = Section(
            file.section_names[index],
            header.sh_type,
            # The number of a section in sh_info is kept for groups and relocations only.
            header.sh_flags & ~SectionFlag.INFO_LINK,
            header.sh_addralign,
            header.sh_entsize,
            nobits_size=header.sh_size if header.sh_type == SectionType.NOBITS else 0,
            sh_info=0 if header.sh_flags & SectionFlag.INFO_LINK else header.sh_info,
        )
        is_on_demand = on_demand is not None and on_demand(section)
        if header.sh_flags & SectionFlag.COMPRESSED:
            _announce_uncompressed(section, file, header)
        if is_on_demand:
            section = _SectionOnDemand(section, file, header)
        else:
            section.data = _contents(section, file, header)
        sections[index] = section
    return sections


def _announce_uncompressed(section: Section, file: ElfFile, header: SectionHeader) -> None:
    """Let flags and alignment be those of the contents without compression, if they can be had."""
    compression = read_compression_header(file.contents(header), file.order)
    if is_readable(compression):
        section.sh_flags &= ~int(SectionFlag.COMPRESSED)
        if compression is not None:
            section.sh_addralign = compression.ch_addralign


def _contents(section: Section, file: ElfFile, header: SectionHeader) -> bytes:
    if header.sh_flags & SectionFlag.COMPRESSED and not section.sh_flags & SectionFlag.COMPRESSED:
        return uncompressed(file, header, section.name)
    return bytes(file.contents(header))


class _SectionOnDemand(Section):
    """A section whose contents and relocations are read when somebody asks for them.

    Until then the attributes are not there, and Python asks `__getattr__` for them.
    """

    __slots__ = ("_file", "_header", "_unread")

    def __init__(self, section: Section, file: ElfFile, header: SectionHeader) -> None:
        super().__init__(
            section.name,
            section.sh_type,
            section.sh_flags,
            section.sh_addralign,
            section.sh_entsize,
            nobits_size=section.nobits_size,
            sh_info=section.sh_info,
        )
        self._file = file
        self._header = header
        self._unread: list[tuple[SectionHeader, list[Symbol | None]]] = []
        del self.data

    def add_relocations(self, header: SectionHeader, symbols: list[Symbol | None]) -> None:
        """Let the relocations of a section be read on demand."""
        self._unread.append((header, symbols))
        if len(self._unread) == 1:
            del self.relocation_table

    def __getattr__(self, name: str) -> Any:
        if name == "data":
            self._read_contents()
        elif name == "relocation_table":
            self._read_relocations()
        else:
            raise AttributeError(name)
        return getattr(self, name)

    def _read_contents(self) -> None:
        with self._only_own_errors():
            contents = _contents(self, self._file, self._header)
        self.data = contents

    def _read_relocations(self) -> None:
        _ = self.data  # how long they are, which may be hard to tell
        self.relocations = []
        try:
            with self._only_own_errors():
                for header, symbols in self._unread:
                    read_relocations(self._file, header, self, symbols)
        except BpfasError:
            del self.relocation_table  # who asks again gets the error again
            raise

    @contextmanager
    def _only_own_errors(self) -> Iterator[None]:
        """Raise BpfasError with what is wrong with this section, and leave what was noted of the file before."""
        noted, self._file.diagnostics = self._file.diagnostics, Diagnostics()
        try:
            yield
            self._file.diagnostics.raise_if_errors()
        finally:
            self._file.diagnostics = noted
