"""The section headers of an ELF file, checked: from here on every section's contents lie inside the file.

An ElfFile is what the modules share that read what the sections hold: `symbol_table`, `relocations` and
`references`, in the order that `reader` says. Source: gABI chapter 4.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import Diagnostics
from bpfas.elf.constants import (
    MAX_ALIGNMENT,
    REL_SIZE,
    RELA_SIZE,
    SHDR_SIZE,
    SHN_XINDEX,
    SYM_SIZE,
    WORD_SIZE,
    SectionType,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.elf.file_header import FileHeader

_MAX_ERRORS = 20
_MAX_PADDING = 1 << 26  # who writes or joins the sections makes as much of it as their alignments ask for
_MAX_NAME_BYTES = 1 << 26  # all names together; suffix sharing lets a small file ask for terabytes

# Link and info of such a section name others by number, which an ObjectFile has no place for.
_UNSUPPORTED_TYPES = {
    int(SectionType.HASH): "a symbol hash table",
    int(SectionType.DYNAMIC): "dynamic linking information",
}
_ENTRY_SIZES = {
    int(SectionType.SYMTAB): SYM_SIZE,
    int(SectionType.SYMTAB_SHNDX): WORD_SIZE,
    int(SectionType.REL): REL_SIZE,
    int(SectionType.RELA): RELA_SIZE,
    int(SectionType.GROUP): WORD_SIZE,
}
_CONSUMED = frozenset({SectionType.NULL, SectionType.SYMTAB_SHNDX, SectionType.REL, SectionType.RELA})


class SectionHeader(NamedTuple):
    """A section header, as it stands in the file."""

    sh_name: int
    sh_type: int
    sh_flags: int
    sh_addr: int
    sh_offset: int
    sh_size: int
    sh_link: int
    sh_info: int
    sh_addralign: int
    sh_entsize: int


class ElfFile:
    """The bytes of a file, what its section headers say, and what has been found wrong with it.

    `headers` and `section_names` are by index. `symtab_index` is 0 if there is no symbol table. `consumed` are the
    sections that only serve others: tables of symbols, names and relocations. `uncompressed_bytes` is how much
    compressed sections have given so far.
    """

    def __init__(self, data: bytes | memoryview, name: str, header: FileHeader) -> None:
        """Check the headers. Raises BpfasError with all that is wrong with them."""
        self.data = memoryview(data)
        self.name = name
        self.order = header.order
        self.diagnostics = Diagnostics()
        self.headers: list[SectionHeader] = []
        self.section_names: list[str] = []
        self.symtab_index = 0
        self.consumed: set[int] = set()
        self.uncompressed_bytes = 0
        self._tables: dict[int, bytes] = {}
        self._strings: dict[tuple[int, int], str | None] = {}
        self._name_bytes = 0
        self._read_headers(header)
        self.diagnostics.raise_if_errors()
        # From here on every section has a name.
        self._check_headers()
        self.diagnostics.raise_if_errors()

    def error(self, message: str, place: str = "") -> None:
        """Note an error in the file or at `place` of it; too many of them end the reading."""
        self.diagnostics.error(message, f"{self.name}:({place})" if place else self.name)
        if len(self.diagnostics.items) >= _MAX_ERRORS:
            self.diagnostics.error(f"stopped after {_MAX_ERRORS} errors; is the file damaged?", self.name)
            self.diagnostics.raise_if_errors()

    @contextmanager
    def errors_apart(self) -> Iterator[None]:
        """Raise BpfasError at the end for what is found wrong meanwhile; what was found before stays noted."""
        before, self.diagnostics = self.diagnostics, Diagnostics()
        try:
            yield
            self.diagnostics.raise_if_errors()
        finally:
            self.diagnostics = before

    def contents(self, header: SectionHeader) -> memoryview:
        """The bytes of a section; none for SHT_NOBITS."""
        if header.sh_type == SectionType.NOBITS:
            return self.data[:0]
        return self.data[header.sh_offset : header.sh_offset + header.sh_size]

    def entries(self, header: SectionHeader, layout: str) -> Iterator[tuple[int, ...]]:
        """The entries of a table; `layout` is that of one, as struct has it."""
        return struct.iter_unpack(f"{self.order.value}{layout}", self.contents(header))

    def string(self, table_index: int, offset: int, what: str, number: int) -> str | None:
        """The name at `offset` of a string table, or None after an error that says it is of `what` `number`."""
        key = table_index, offset
        if key in self._strings:
            return self._strings[key]
        table = self._tables.get(table_index)
        if table is None:
            table = self._tables[table_index] = bytes(self.contents(self.headers[table_index]))
        name = None
        if offset == 0 and not table:
            name = ""
        elif offset >= len(table):
            self.error(f"the name of {what} {number} is at {offset:#x} of a string table of {len(table):#x} bytes")
        else:
            end = table.find(0, offset)
            if end < 0:
                self.error(
                    f"the name of {what} {number} at {offset:#x} of its string table does not end inside the table"
                )
            else:
                self._name_bytes += end - offset
                if self._name_bytes > _MAX_NAME_BYTES:
                    self.error(f"has names of more than {_MAX_NAME_BYTES} bytes together")
                    self.diagnostics.raise_if_errors()
                name = table[offset:end].decode("utf-8", "surrogateescape")
        self._strings[key] = name
        return name

    def why_not(self, index: int) -> str:
        """The rest of a sentence about a section number that stands for no section of contents."""
        if index < len(self.headers):
            return f", {self.section_names[index] or '<null>'}, which holds no code or data"
        return f", but the file has only {len(self.headers)} sections"

    def _read_headers(self, header: FileHeader) -> None:
        _, _, e_shoff, e_shentsize, e_shnum, e_shstrndx = header
        if e_shoff == 0:
            return self.error("has no section headers, so it holds no code or data")
        if e_shentsize != SHDR_SIZE:
            return self.error(f"has section headers of {e_shentsize} bytes (e_shentsize), not {SHDR_SIZE}")
        if e_shoff + SHDR_SIZE > len(self.data):
            return self.error(
                f"is truncated: section headers begin at {e_shoff:#x}, the file has {len(self.data):#x} bytes"
            )
        layout = struct.Struct(f"{self.order.value}IIQQQQIIQQ")
        null = SectionHeader._make(layout.unpack_from(self.data, e_shoff))
        # Numbers too great for the ELF header stand in the null section's (gABI, e_shnum and e_shstrndx).
        count = e_shnum or null.sh_size
        names_index = null.sh_link if e_shstrndx == SHN_XINDEX else e_shstrndx
        end = e_shoff + count * SHDR_SIZE
        if end > len(self.data):
            return self.error(
                f"is truncated: {count} section headers from {e_shoff:#x} end at {end:#x}, "
                f"the file has {len(self.data):#x} bytes"
            )
        self.headers = list(map(SectionHeader._make, layout.iter_unpack(self.data[e_shoff:end])))
        # Index 0 is reserved, whatever its header says.
        self.headers[:1] = [SectionHeader(*(0,) * 10)]
        if not self._is_string_table(names_index):
            return self.error(f"has no table of section names: e_shstrndx is {names_index}")
        self.consumed.add(names_index)
        self.section_names = [""]
        for index, section in enumerate(self.headers[1:], 1):
            name = self.string(names_index, section.sh_name, "section", index)
            self.section_names.append(name if name is not None else f"<section {index}>")
        return None

    def _is_string_table(self, index: int) -> bool:
        """Whether section `index` exists, is a string table and lies inside the file."""
        if not 0 < index < len(self.headers) or self.headers[index].sh_type != SectionType.STRTAB:
            return False
        header = self.headers[index]
        return header.sh_offset + header.sh_size <= len(self.data)

    def _check_headers(self) -> None:
        claimed = padding = 0
        for index, header in enumerate(self.headers):
            sh_type, name = header.sh_type, self.section_names[index]
            if sh_type in _CONSUMED:
                self.consumed.add(index)
            if sh_type == SectionType.NULL:
                continue
            if sh_type == SectionType.SYMTAB:
                self._check_symbol_table(index, header, name)
            if sh_type in _ENTRY_SIZES:
                self._check_entries(header, _ENTRY_SIZES[sh_type], name)
            if sh_type in _UNSUPPORTED_TYPES:
                self.error(f"is {_UNSUPPORTED_TYPES[sh_type]}, which BPF has no use for", name)
            align = header.sh_addralign
            if align & (align - 1) or align > MAX_ALIGNMENT:
                self.error(f"alignment {align:#x} is no power of two up to {MAX_ALIGNMENT:#x}", name)
            if sh_type != SectionType.NOBITS:
                padding += align if header.sh_size else 0
                claimed += header.sh_size
                end = header.sh_offset + header.sh_size
                if end > len(self.data):
                    self.error(
                        f"contents from {header.sh_offset:#x} to {end:#x} lie beyond the file's end "
                        f"at {len(self.data):#x}; is the file truncated?",
                        name,
                    )
        if padding > _MAX_PADDING:
            self.error(f"alignments ask for {padding} bytes of padding, more than {_MAX_PADDING}")
        if claimed > len(self.data):
            self.error(f"sections overlap: they claim {claimed} bytes of a file of {len(self.data)}")

    def _check_symbol_table(self, index: int, header: SectionHeader, name: str) -> None:
        if self.symtab_index:
            first = self.section_names[self.symtab_index]
            self.error(f"has two symbol tables, {first} and {name}; an object has one")
        else:
            self.symtab_index = index
        self.consumed |= {index, header.sh_link}
        if not self._is_string_table(header.sh_link):
            self.error(f"symbol names are in section {header.sh_link}, no string table", name)

    def _check_entries(self, header: SectionHeader, size: int, place: str) -> None:
        if header.sh_entsize != size:
            self.error(f"sh_entsize is {header.sh_entsize}, not {size}", place)
        if header.sh_size % size:
            self.error(f"size {header.sh_size:#x} is no multiple of an entry's {size} bytes", place)
