"""The bytes of an ELF relocatable file for BPF, whoever wrote it, to an ObjectFile.

Accepts ELF64 of either byte order, ET_REL, for machine BPF or none. The file is not trusted: whatever is wrong
with it is reported, as much of it in one run as makes sense, in a BpfasError. What is promised of the result:
every relocation names a symbol of the object and its field lies inside its section. What types and symbols
*mean* is left to who takes the object.

Whether the file is one at all is `bpfas.elf.file_header`'s part. The tables, which have hundreds of thousands of
entries, are unpacked by `struct`. Source: gABI chapters 4 and 5.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import Diagnostics
from bpfas.elf.constants import (
    GRP_COMDAT,
    MAX_ALIGNMENT,
    REL_SIZE,
    RELA_SIZE,
    SHDR_SIZE,
    SHN_LORESERVE,
    SHN_UNDEF,
    SHN_XINDEX,
    SYM_SIZE,
    WORD_SIZE,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
    SymbolVisibility,
)
from bpfas.elf.file_header import FileHeader, read_file_header
from bpfas.leb128 import unsigned_numbers
from bpfas.objfile import Group, ObjectFile, Relocation, RelocationTable, Section, SpecialSection, Symbol
from bpfas.reloc import RELOCATION_TYPES, RelocationNumber, relocation_name

if TYPE_CHECKING:
    from collections.abc import Iterator


_MAX_ERRORS = 20
_MAX_NAME_BYTES = 1 << 26  # all names together; suffix sharing lets a small file ask for terabytes

_BINDINGS = {int(bind): bind for bind in SymbolBinding}
_TYPES = {int(kind): kind for kind in SymbolType}
_VISIBILITIES = {int(visibility): visibility for visibility in SymbolVisibility}
_SPECIAL_SECTIONS = {special.value: special for special in SpecialSection}
_FIELD_ENDS = {number: row.field.end for number, row in RELOCATION_TYPES.items()}
_RELOCATION_TYPES = (SectionType.REL, SectionType.RELA)
# Link and info of such a section name others by number, which an ObjectFile has no place for.
_UNSUPPORTED_TYPES = {
    SectionType.HASH: "a symbol hash table",
    SectionType.DYNAMIC: "dynamic linking information",
}


class _SectionHeader(NamedTuple):
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


def read_object(data: bytes, name: str) -> ObjectFile:
    """The object that the ELF file `data` holds; `name` is what messages call it.

    The symbol table, the string tables it and the section headers use, and the relocation sections are
    consumed: symbols and relocations stand in the result instead. Names that are not UTF-8 come with
    surrogate escapes, which the writer turns back. Raises BpfasError with everything that is wrong.
    """
    header = read_file_header(data, name)
    return _Reader(data, name, header).read()


class _Reader:
    """The state of reading one file; each method needs what those above it in `read` have made."""

    def __init__(self, data: bytes, name: str, header: FileHeader) -> None:
        self.data = data
        self.name = name
        self.header = header
        self.prefix = header.order.value
        self.diagnostics = Diagnostics()
        self.headers: list[_SectionHeader] = []
        self.names_index = 0
        self.section_names: list[str] = []
        self.sections: dict[int, Section] = {}
        self.symbols: list[Symbol | None] = []
        self.grouped: set[int] = set()
        self._strings: dict[tuple[int, int], str | None] = {}
        self._name_bytes = 0

    def read(self) -> ObjectFile:
        """The steps, in order. A step that found errors ends the reading, since the next leans on it."""
        self.read_section_headers()
        self.diagnostics.raise_if_errors()
        symtab_index, consumed = self.find_tables()
        self.diagnostics.raise_if_errors()
        # From here on every header's contents lie inside the file and every table has a sane shape.
        self.make_sections(consumed)
        if symtab_index:
            self.read_symbols(symtab_index)
        self.diagnostics.raise_if_errors()
        # From here on every symbol's section is known.
        for index, header in enumerate(self.headers):
            if header.sh_type in _RELOCATION_TYPES:
                self.read_relocations(index, header, symtab_index)
            elif index in self.sections:
                self.read_references(index, header, symtab_index)
        self.diagnostics.raise_if_errors()
        return ObjectFile(
            self.name,
            self.header.order,
            list(self.sections.values()),
            [symbol for symbol in self.symbols if symbol is not None],
            self.header.e_flags,
        )

    def error(self, message: str, place: str = "") -> None:
        """Note an error in the file or at `place` of it; too many of them end the reading."""
        self.diagnostics.error(message, f"{self.name}:({place})" if place else self.name)
        if len(self.diagnostics.items) >= _MAX_ERRORS:
            self.diagnostics.error(f"stopped after {_MAX_ERRORS} errors; is the file damaged?", self.name)
            self.diagnostics.raise_if_errors()

    def read_section_headers(self) -> None:
        """Fill `headers`, `names_index` and `section_names`."""
        _, _, e_shoff, e_shentsize, e_shnum, e_shstrndx = self.header
        if e_shoff == 0:
            return self.error("has no section headers, so it holds no code or data")
        if e_shentsize != SHDR_SIZE:
            return self.error(f"has section headers of {e_shentsize} bytes (e_shentsize), not {SHDR_SIZE}")
        if e_shoff + SHDR_SIZE > len(self.data):
            return self.error(
                f"is truncated: section headers begin at {e_shoff:#x}, the file has {len(self.data):#x} bytes"
            )
        layout = struct.Struct(f"{self.prefix}IIQQQQIIQQ")
        null = _SectionHeader._make(layout.unpack_from(self.data, e_shoff))
        # Numbers too great for the ELF header stand in the null section's (gABI, e_shnum and e_shstrndx).
        count = e_shnum or null.sh_size
        self.names_index = null.sh_link if e_shstrndx == SHN_XINDEX else e_shstrndx
        end = e_shoff + count * SHDR_SIZE
        if end > len(self.data):
            return self.error(
                f"is truncated: {count} section headers from {e_shoff:#x} end at {end:#x}, "
                f"the file has {len(self.data):#x} bytes"
            )
        self.headers = [
            _SectionHeader._make(fields) for fields in layout.iter_unpack(memoryview(self.data)[e_shoff:end])
        ]
        # Index 0 is reserved, whatever its header says.
        self.headers[:1] = [_SectionHeader(*(0,) * 10)]
        if not self.is_string_table(self.names_index):
            return self.error(f"has no table of section names: e_shstrndx is {self.names_index}")
        self.section_names = [""]
        for index, header in enumerate(self.headers[1:], 1):
            name = self.string(self.names_index, header.sh_name, f"the name of section {index}")
            self.section_names.append(name if name is not None else f"<section {index}>")
        return None

    def is_string_table(self, index: int) -> bool:
        """Whether section `index` exists, is a string table and lies inside the file."""
        if not 0 < index < len(self.headers) or self.headers[index].sh_type != SectionType.STRTAB:
            return False
        header = self.headers[index]
        return header.sh_offset + header.sh_size <= len(self.data)

    def string(self, table_index: int, offset: int, what: str) -> str | None:
        """The name at `offset` of the string table, or None after an error that names `what`."""
        key = table_index, offset
        if key in self._strings:
            return self._strings[key]
        table = self.headers[table_index]
        start = table.sh_offset + offset
        name = None
        if offset == 0 and table.sh_size == 0:
            name = ""
        elif offset >= table.sh_size:
            self.error(f"{what} is at {offset:#x} of a string table of {table.sh_size:#x} bytes")
        else:
            end = self.data.find(0, start, table.sh_offset + table.sh_size)
            if end < 0:
                self.error(f"{what} at {offset:#x} of its string table does not end inside the table")
            else:
                self._name_bytes += end - start
                if self._name_bytes > _MAX_NAME_BYTES:
                    self.error(f"has names of more than {_MAX_NAME_BYTES} bytes together")
                    self.diagnostics.raise_if_errors()
                name = self.data[start:end].decode("utf-8", "surrogateescape")
        self._strings[key] = name
        return name

    def find_tables(self) -> tuple[int, set[int]]:
        """Check every header; give the index of .symtab (0: none) and those of all consumed sections."""
        consumed = {0, self.names_index}
        symtabs = [i for i, header in enumerate(self.headers) if header.sh_type == SectionType.SYMTAB]
        for index in symtabs[1:]:
            first, second = self.section_names[symtabs[0]], self.section_names[index]
            self.error(f"has two symbol tables, {first} and {second}; an object has one")
        claimed = 0
        for index, header in enumerate(self.headers):
            name = self.section_names[index]
            match header.sh_type:
                case SectionType.NULL:
                    consumed.add(index)
                    continue
                case SectionType.SYMTAB:
                    consumed |= {index, header.sh_link}
                    if not self.is_string_table(header.sh_link):
                        self.error(f"symbol names are in section {header.sh_link}, no string table", name)
                    self.check_entries(header, SYM_SIZE, name)
                case SectionType.SYMTAB_SHNDX:
                    consumed.add(index)
                    self.check_entries(header, WORD_SIZE, name)
                case SectionType.REL | SectionType.RELA:
                    consumed.add(index)
                    rela = header.sh_type == SectionType.RELA
                    self.check_entries(header, RELA_SIZE if rela else REL_SIZE, name)
                case SectionType.GROUP:
                    self.check_entries(header, WORD_SIZE, name)
                case SectionType.NOBITS:
                    pass
                case sh_type if sh_type in _UNSUPPORTED_TYPES:
                    self.error(f"is {_UNSUPPORTED_TYPES[SectionType(sh_type)]}, which BPF has no use for", name)
            align = header.sh_addralign
            if align & (align - 1) or align > MAX_ALIGNMENT:
                self.error(f"alignment {align:#x} is no power of two up to {MAX_ALIGNMENT:#x}", name)
            if header.sh_type != SectionType.NOBITS:
                claimed += header.sh_size
                end = header.sh_offset + header.sh_size
                if end > len(self.data):
                    self.error(
                        f"contents from {header.sh_offset:#x} to {end:#x} lie beyond the file's end "
                        f"at {len(self.data):#x}; is the file truncated?",
                        name,
                    )
        if claimed > len(self.data):
            self.error(f"sections overlap: they claim {claimed} bytes of a file of {len(self.data)}")
        return (symtabs[0] if symtabs else 0), consumed

    def check_entries(self, header: _SectionHeader, size: int, place: str) -> None:
        """A table's contents must be whole entries of `size` bytes."""
        if header.sh_entsize != size:
            self.error(f"sh_entsize is {header.sh_entsize}, not {size}", place)
        if header.sh_size % size:
            self.error(f"size {header.sh_size:#x} is no multiple of an entry's {size} bytes", place)

    def make_sections(self, consumed: set[int]) -> None:
        """Fill `sections`, by index, with all that is not consumed."""
        for index, header in enumerate(self.headers):
            if index in consumed:
                continue
            nobits = header.sh_type == SectionType.NOBITS
            self.sections[index] = Section(
                self.section_names[index],
                header.sh_type,
                # The number of a section in sh_info is kept for groups and relocations only.
                header.sh_flags & ~SectionFlag.INFO_LINK,
                header.sh_addralign,
                header.sh_entsize,
                b"" if nobits else self.data[header.sh_offset : header.sh_offset + header.sh_size],
                header.sh_size if nobits else 0,
                0 if header.sh_flags & SectionFlag.INFO_LINK else header.sh_info,
            )

    def entries(self, header: _SectionHeader, layout: str) -> Iterator[tuple[int, ...]]:
        """The entries of a table that `check_entries` has passed."""
        contents = memoryview(self.data)[header.sh_offset : header.sh_offset + header.sh_size]
        return struct.iter_unpack(f"{self.prefix}{layout}", contents)

    def read_symbols(self, symtab_index: int) -> None:
        """Fill `symbols`, by index; the null symbol is None."""
        header = self.headers[symtab_index]
        place = self.section_names[symtab_index]
        extended: list[int] = []
        for other in self.headers:
            if other.sh_type == SectionType.SYMTAB_SHNDX and other.sh_link == symtab_index:
                extended = [index for (index,) in self.entries(other, "I")]
        for number, entry in enumerate(self.entries(header, "IBBHQQ")):
            st_name, st_info, st_other, st_shndx, st_value, st_size = entry
            if number == 0:
                self.symbols.append(None)
                continue
            name = self.string(header.sh_link, st_name, f"the name of symbol {number}")
            if name is None:
                self.symbols.append(None)
                continue
            shown = f"symbol {number} ({name})"
            bind, kind = _BINDINGS.get(st_info >> 4), _TYPES.get(st_info & 0xF)
            visibility = _VISIBILITIES.get(st_other)
            if bind is None:
                self.error(f"{shown} has binding {st_info >> 4}; only local, global and weak are known", place)
            if kind is None:
                self.error(f"{shown} has unknown type {st_info & 0xF}", place)
            if visibility is None:
                self.error(f"{shown} has unknown visibility (st_other {st_other:#x})", place)
            if st_shndx == SHN_XINDEX:
                st_shndx = extended[number] if number < len(extended) else SHN_XINDEX
                home: Section | SpecialSection | None = self.sections.get(st_shndx)
            elif st_shndx >= SHN_LORESERVE or st_shndx == SHN_UNDEF:
                home = _SPECIAL_SECTIONS.get(st_shndx)
            else:
                home = self.sections.get(st_shndx)
            if home is None:
                self.error(f"{shown} is in section {st_shndx}{self.why_not(st_shndx)}", place)
            elif kind is SymbolType.SECTION and (st_value or not isinstance(home, Section)):
                self.error(f"{shown} stands for a section but is not at a section's start", place)
            if home is None or bind is None or kind is None or visibility is None:
                self.symbols.append(None)
            else:
                self.symbols.append(Symbol(name, home, st_value, st_size, bind, kind, visibility))

    def why_not(self, index: int) -> str:
        """The rest of a sentence about a section number that stands for no section of contents."""
        if index < len(self.headers):
            return f", {self.section_names[index] or '<null>'}, which holds no code or data"
        return f", but the file has only {len(self.headers)} sections"

    def read_relocations(self, index: int, header: _SectionHeader, symtab_index: int) -> None:
        """Attach the relocations of section `index` to the section that they apply to."""
        place = self.section_names[index]
        target = self.sections.get(header.sh_info)
        if target is None:
            return self.error(f"relocates section {header.sh_info}{self.why_not(header.sh_info)}", place)
        if target.sh_type == SectionType.NOBITS and header.sh_size:
            return self.error(f"relocates {target.name}, which has no contents (SHT_NOBITS)", place)
        if header.sh_link != symtab_index or not symtab_index:
            return self.error(f"takes its symbols from section {header.sh_link}, not the symbol table", place)
        rela = header.sh_type == SectionType.RELA
        if self.are_relocations_in_order(header, target.sh_size) and not target.relocation_table:
            entries = self.data[header.sh_offset : header.sh_offset + header.sh_size]
            target.relocation_table = RelocationTable(entries, self.symbols, self.header.order, rela)
            return None
        self.read_relocations_singly(header, target)
        return None

    def are_relocations_in_order(self, header: _SectionHeader, size: int) -> bool:
        """Whether all relocations, of a section of `size` bytes, name symbols and have their fields in it.

        This looks at what the columns hold, not at each relocation, for there may be very many.
        """
        words = array("Q", self.data[header.sh_offset : header.sh_offset + header.sh_size])
        if self.header.order.name_for_int != sys.byteorder:
            words.byteswap()
        words_each = header.sh_entsize // words.itemsize
        kinds = set(words[1::words_each])  # r_info: the symbol's number and the type
        if any(r_info >> 32 >= len(self.symbols) or not self.symbols[r_info >> 32] for r_info in kinds):
            return False
        longest = max((_FIELD_ENDS.get(r_info & 0xFFFFFFFF, 0) for r_info in kinds), default=0)
        return max(words[::words_each], default=0) + longest <= size

    def read_relocations_singly(self, header: _SectionHeader, target: Section) -> None:
        """Add the relocations of a section to `target`, with an error for each that is wrong."""
        rela = header.sh_type == SectionType.RELA
        size = target.sh_size
        for entry in self.entries(header, "QQq" if rela else "QQ"):
            r_offset, r_info = entry[:2]
            r_type, r_sym = r_info & 0xFFFFFFFF, r_info >> 32
            if r_sym == 0 and r_type == RelocationNumber.R_BPF_NONE:
                continue  # what a linker leaves of a relocation that it has dropped
            symbol = self.symbols[r_sym] if r_sym < len(self.symbols) else None
            at = f"{target.name}+{r_offset:#x}"
            if symbol is None:
                self.error(
                    f"{relocation_name(r_type)} names symbol {r_sym}; symbols go from 1 to "
                    f"{len(self.symbols) - 1}",
                    at,
                )
            elif r_offset + _FIELD_ENDS.get(r_type, 0) > size:
                self.error(f"{relocation_name(r_type)} lies beyond the section's end at {size:#x}", at)
            else:
                target.relocations.append(Relocation(r_offset, r_type, symbol, entry[2] if rela else None))

    def read_references(self, index: int, header: _SectionHeader, symtab_index: int) -> None:
        """Give section `index` the sections and symbols that it names by number."""
        section = self.sections[index]
        place = self.section_names[index]
        if header.sh_flags & SectionFlag.LINK_ORDER and header.sh_link:
            section.link_order = self.sections.get(header.sh_link)
            if section.link_order is None:
                why_not = self.why_not(header.sh_link)
                self.error(f"is ordered after section {header.sh_link}{why_not}", place)
        if header.sh_type == SectionType.GROUP:
            self.read_group(section, header, symtab_index)
        # A list without a symbol table (sh_link 0) is one that a tool like objcopy has invalidated.
        if header.sh_type == SectionType.LLVM_ADDRSIG and header.sh_link:
            self.read_listed_symbols(section, header, symtab_index)

    def read_group(self, section: Section, header: _SectionHeader, symtab_index: int) -> None:
        """Read what an SHT_GROUP section says (gABI, Section Groups)."""
        place = section.name
        section.sh_info = 0
        if header.sh_link != symtab_index or not symtab_index:
            return self.error(f"takes its signature from section {header.sh_link}, not the symbol table", place)
        signature = self.symbols[header.sh_info] if header.sh_info < len(self.symbols) else None
        if signature is None:
            return self.error(
                f"has symbol {header.sh_info} as its signature; symbols go from 1 to {len(self.symbols) - 1}",
                place,
            )
        flags, *members = [number for (number,) in self.entries(header, "I")] or [0]
        if flags & ~GRP_COMDAT:
            self.error(f"has unknown flags of a group, {flags:#x}", place)
        group = section.group = Group(signature, [], bool(flags & GRP_COMDAT))
        for number in members:
            member = self.sections.get(number)
            if 0 < number < len(self.headers) and self.headers[number].sh_type in _RELOCATION_TYPES:
                continue  # goes with the section that it relocates
            if member is None or member.sh_type == SectionType.GROUP:
                self.error(f"has section {number} as a member{self.why_not(number)}", place)
            elif number in self.grouped:
                self.error(f"has {member.name} as a member, which is in a group already", place)
            else:
                self.grouped.add(number)
                group.members.append(member)
        return None

    def read_listed_symbols(self, section: Section, header: _SectionHeader, symtab_index: int) -> None:
        """Read the symbols that .llvm_addrsig lists by number, as unsigned LEB128."""
        place = section.name
        if header.sh_link != symtab_index:
            return self.error(
                f"takes its symbols from section {header.sh_link}, not the symbol table", section.name
            )
        section.listed_symbols = []
        try:
            numbers = list(unsigned_numbers(section.data))
        except ValueError as error:
            return self.error(f"its list of symbols {error}", place)
        for number in numbers:
            symbol = self.symbols[number] if number < len(self.symbols) else None
            if symbol is None:
                return self.error(f"lists symbol {number}; symbols go from 1 to {len(self.symbols) - 1}", place)
            section.listed_symbols.append(symbol)
        return None
