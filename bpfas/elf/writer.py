"""An ObjectFile to the bytes of an ELF64 relocatable file for BPF.

The file holds the sections in their order, each followed by its relocation section, then `.symtab` (locals
first) and one `.strtab` for the names of sections and symbols. What refers to sections and symbols by number
(groups, SHF_LINK_ORDER, .llvm_addrsig) gets their numbers here. The same object gives the same bytes.
What the object should hold is its maker's part. Source: gABI chapters 4 and 5.
"""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING

from bpfas.elf.constants import (
    EHDR_SIZE,
    ELFOSABI_GNU,
    ELFOSABI_NONE,
    EM_BPF,
    ET_REL,
    GRP_COMDAT,
    REL_SIZE,
    RELA_SIZE,
    SHDR_SIZE,
    SHN_LORESERVE,
    SHN_XINDEX,
    SYM_SIZE,
    ByteOrder,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
)
from bpfas.leb128 import unsigned_leb128
from bpfas.objfile import NATIVE_ORDER, RelocationTable, SpecialSection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfas.objfile import ObjectFile, Relocation, Section, Symbol

_NULL_SYMBOL = bytes(SYM_SIZE)
_TABLE_ALIGNMENT = 8
_MANY = 20_000
"""Relocations of a section for which importing numpy pays."""
_GNU_FLAGS = SectionFlag.GNU_RETAIN | SectionFlag.GNU_MBIND


class _StringTable:
    """A string table under construction: each distinct name stands in it once."""

    def __init__(self) -> None:
        self._offsets = {"": 0}
        self._pieces = [b"\0"]
        self._size = 1

    def offset_of(self, name: str) -> int:
        """The st_name or sh_name of `name`, which is added when it is new."""
        offset = self._offsets.get(name)
        if offset is None:
            encoded = name.encode("utf-8", "surrogateescape")
            if 0 in encoded:
                raise ValueError(f"a name in an ELF file cannot contain a NUL character: {name!r}")
            offset = self._offsets[name] = self._size
            self._pieces.append(encoded + b"\0")
            self._size += len(encoded) + 1
        return offset

    def contents(self) -> bytes:
        """The table as it stands in the file."""
        return b"".join(self._pieces)


class _OutputSection:
    """A section header before file offsets are known, with the bytes it describes."""

    __slots__ = (
        "data",
        "name",
        "sh_addralign",
        "sh_entsize",
        "sh_flags",
        "sh_info",
        "sh_link",
        "sh_size",
        "sh_type",
    )

    def __init__(
        self,
        name: str,
        sh_type: int,
        sh_flags: int,
        data: bytes | bytearray,
        sh_size: int,
        sh_addralign: int,
        sh_entsize: int,
        sh_info: int = 0,
    ) -> None:
        self.name = name
        self.sh_type = sh_type
        self.sh_flags = sh_flags
        self.data = data
        self.sh_size = sh_size
        self.sh_addralign = sh_addralign
        self.sh_entsize = sh_entsize
        self.sh_link = 0
        self.sh_info = sh_info


def write_object(obj: ObjectFile) -> bytes:
    """The ELF file that holds `obj`.

    Every symbol that a relocation, a group or a list names must be in `obj.symbols`, and every section that a
    symbol, a group or another section names in `obj.sections`; no name may contain NUL. Raises ValueError when
    the maker of `obj` broke that.
    """
    prefix = obj.byte_order.value
    strings = _StringTable()
    outputs: list[_OutputSection] = []
    section_indices: dict[Section, int] = {}
    relocated: list[tuple[Section, int]] = []
    grouped = {member for section in obj.sections if section.group for member in section.group.members}
    for section in obj.sections:
        outputs.append(
            _OutputSection(
                section.name,
                section.sh_type,
                section.sh_flags,
                b"" if section.sh_type == SectionType.NOBITS else section.data,
                section.sh_size,
                section.sh_addralign,
                section.sh_entsize,
                sh_info=section.sh_info,
            )
        )
        section_indices[section] = len(outputs)  # index 0 is the null section
        for has_addends in _forms_of_relocations(section):
            relocated.append((section, len(outputs)))
            outputs.append(_relocation_section(section, has_addends, len(outputs)))
            if section in grouped:
                outputs[-1].sh_flags |= SectionFlag.GROUP

    # From here on the section indices are fixed; the tables of the file's own come last.
    symbols = [symbol for symbol in obj.symbols if symbol.st_bind is SymbolBinding.LOCAL]
    first_global = 1 + len(symbols)
    symbols += [symbol for symbol in obj.symbols if symbol.st_bind is not SymbolBinding.LOCAL]
    symbol_indices = {symbol: index for index, symbol in enumerate(symbols, 1)}
    symtab_index = len(outputs) + 1
    symtab, extended = _symbol_tables(symbols, section_indices, strings, prefix)
    table = _table(".symtab", SectionType.SYMTAB, symtab, SYM_SIZE)
    table.sh_info = first_global
    outputs.append(table)
    if extended:
        extension = _table(".symtab_shndx", SectionType.SYMTAB_SHNDX, extended, 4)
        extension.sh_link = symtab_index
        outputs.append(extension)
    strtab_index = len(outputs) + 1
    table.sh_link = strtab_index

    for section, position in relocated:
        output = outputs[position]
        packed = _pack_relocations(section, output.sh_type, symbol_indices, prefix)
        output.data, output.sh_size = packed, len(packed)
        output.sh_link = symtab_index

    for section in obj.sections:
        _fill_in_numbers(section, outputs, section_indices, symbol_indices, symtab_index, prefix)

    outputs.append(_table(".strtab", SectionType.STRTAB, b"", 0, alignment=1))
    names = [strings.offset_of(output.name) for output in outputs]
    # From here on no names are added.
    outputs[-1].data = strings.contents()
    outputs[-1].sh_size = len(outputs[-1].data)
    return _lay_out(outputs, names, strtab_index, prefix, obj)


def _table(
    name: str, sh_type: int, data: bytes, sh_entsize: int, alignment: int = _TABLE_ALIGNMENT
) -> _OutputSection:
    return _OutputSection(name, sh_type, 0, data, len(data), alignment, sh_entsize)


def _relocation_section(section: Section, has_addends: bool, target_index: int) -> _OutputSection:
    """The header for the relocations of `section` of one form; contents follow when symbols have indices."""
    if has_addends:
        output = _table(f".rela{section.name}", SectionType.RELA, b"", RELA_SIZE)
    else:
        output = _table(f".rel{section.name}", SectionType.REL, b"", REL_SIZE)
    output.sh_flags = SectionFlag.INFO_LINK
    output.sh_info = target_index
    return output


def _forms_of_relocations(section: Section) -> list[bool]:
    """Whether its relocations have addends; where some have and some have not, both, which is two sections."""
    table = section.relocation_table
    if table is not None:
        return [table.has_addends] if len(table) else []
    return sorted({reloc.r_addend is not None for reloc in section.relocations})


def _pack_relocations(section: Section, sh_type: int, symbol_indices: dict[Symbol, int], prefix: str) -> bytes:
    try:
        if section.relocation_table is not None:
            return _renumbered(section.relocation_table, symbol_indices, prefix)
        if sh_type == SectionType.REL:
            pack = struct.Struct(f"{prefix}QQ").pack
            return b"".join(
                pack(reloc.r_offset, symbol_indices[reloc.symbol] << 32 | reloc.r_type)
                for reloc in section.relocations
                if reloc.r_addend is None
            )
        return _pack_rela(section.relocations, symbol_indices, prefix)
    except KeyError as error:
        raise ValueError(f"a relocation of {section!r} names {error.args[0]!r}, not in the object") from None


def _pack_rela(relocations: Iterable[Relocation], symbol_indices: dict[Symbol, int], prefix: str) -> bytes:
    pack = struct.Struct(f"{prefix}QQq").pack
    return b"".join(
        pack(reloc.r_offset, symbol_indices[reloc.symbol] << 32 | reloc.r_type, reloc.r_addend)
        for reloc in relocations
        if reloc.r_addend is not None
    )


def _renumbered(table: RelocationTable, symbol_indices: dict[Symbol, int], prefix: str) -> bytes:
    """The entries of a table with the numbers that its symbols have here."""
    if len(table) >= _MANY:
        return _renumbered_columns(table, symbol_indices, ByteOrder(prefix))
    words = table.words()
    each = table.words_each
    old = words[1::each]
    new = {}
    for r_info in set(old):
        symbol = table.symbols[r_info >> 32]
        assert symbol is not None  # whoever made the table has seen to that
        new[r_info] = symbol_indices[symbol] << 32 | r_info & 0xFFFFFFFF
    words[1::each] = array("Q", map(new.__getitem__, old))
    if prefix != NATIVE_ORDER.value:
        words.byteswap()
    return words.tobytes()


def _renumbered_columns(table: RelocationTable, symbol_indices: dict[Symbol, int], order: ByteOrder) -> bytes:
    """What `_renumbered` gives, by numpy."""
    import numpy

    columns = table.columns()
    numbers = numpy.zeros(len(table.symbols), numpy.int64)
    for r_sym in numpy.flatnonzero(numpy.bincount(columns.r_sym, minlength=len(numbers))).tolist():
        symbol = table.symbols[r_sym]
        assert symbol is not None  # whoever made the table has seen to that
        numbers[r_sym] = symbol_indices[symbol]
    renumbered = columns._replace(r_sym=numbers[columns.r_sym])
    return bytes(RelocationTable.of_columns(renumbered, (), order).entries)


def _fill_in_numbers(
    section: Section,
    outputs: list[_OutputSection],
    section_indices: dict[Section, int],
    symbol_indices: dict[Symbol, int],
    symtab_index: int,
    prefix: str,
) -> None:
    """Give the output of `section` what it says about other sections and about symbols."""
    output = outputs[section_indices[section] - 1]
    try:
        if section.link_order is not None:
            output.sh_link = section_indices[section.link_order]
        if section.group is not None:
            numbers = [GRP_COMDAT if section.group.is_comdat else 0]
            for member in section.group.members:
                number = section_indices[member]
                numbers += (number, *_relocation_sections_of(number, outputs))
            output.data = struct.pack(f"{prefix}{len(numbers)}I", *numbers)
            output.sh_link, output.sh_info = symtab_index, symbol_indices[section.group.signature]
        if section.listed_symbols is not None:
            output.data = b"".join(unsigned_leb128(symbol_indices[symbol]) for symbol in section.listed_symbols)
            output.sh_link = symtab_index
        elif section.sh_type == SectionType.LLVM_CALL_GRAPH_PROFILE:
            output.sh_link = symtab_index
    except KeyError as error:
        raise ValueError(f"{section!r} names {error.args[0]!r}, which is not in the object") from None
    if section.group is not None or section.listed_symbols is not None:
        output.sh_size = len(output.data)


def _relocation_sections_of(number: int, outputs: list[_OutputSection]) -> Iterator[int]:
    """The numbers of the relocation sections that stand behind section `number`."""
    for at in range(number + 1, len(outputs) + 1):
        output = outputs[at - 1]
        if output.sh_type not in (SectionType.REL, SectionType.RELA) or output.sh_info != number:
            return
        yield at


def _symbol_tables(
    symbols: list[Symbol], section_indices: dict[Section, int], strings: _StringTable, prefix: str
) -> tuple[bytes, bytes]:
    """The contents of .symtab, and of .symtab_shndx where an index does not fit st_shndx (else empty)."""
    pack = struct.Struct(f"{prefix}IBBHQQ").pack
    entries = [_NULL_SYMBOL]
    extended = [0]
    for symbol in symbols:
        home = symbol.section
        if isinstance(home, SpecialSection):
            st_shndx = home.value
            extended.append(0)
        else:
            try:
                index = section_indices[home]
            except KeyError:
                raise ValueError(f"the section of {symbol!r} is not in the object") from None
            st_shndx = index if index < SHN_LORESERVE else SHN_XINDEX
            extended.append(index if index >= SHN_LORESERVE else 0)
        entries.append(
            pack(
                # A section symbol goes by its section's name, so it has none of its own.
                0 if symbol.st_type is SymbolType.SECTION else strings.offset_of(symbol.name),
                symbol.st_bind << 4 | symbol.st_type,
                symbol.st_visibility,
                st_shndx,
                symbol.st_value,
                symbol.st_size,
            )
        )
    shndx = struct.pack(f"{prefix}{len(extended)}I", *extended) if any(extended) else b""
    return b"".join(entries), shndx


def _lay_out(
    outputs: list[_OutputSection], names: list[int], strtab_index: int, prefix: str, obj: ObjectFile
) -> bytes:
    """Give every section its file offset, and put header, contents and section headers together."""
    pack_header = struct.Struct(f"{prefix}IIQQQQIIQQ").pack
    pieces: list[bytes | bytearray] = [b""]  # the ELF header, once e_shoff is known
    headers: list[bytes] = [b""]  # the null section, once the number of sections is known
    offset = EHDR_SIZE
    for output, sh_name in zip(outputs, names, strict=True):
        padding = -offset % max(1, output.sh_addralign)
        if output.sh_type == SectionType.NOBITS:
            padding = 0  # takes no room in the file
        pieces += (bytes(padding), output.data)
        offset += padding
        headers.append(
            pack_header(
                sh_name,
                output.sh_type,
                output.sh_flags,
                0,  # sh_addr: a relocatable file has no addresses
                offset,
                output.sh_size,
                output.sh_link,
                output.sh_info,
                output.sh_addralign,
                output.sh_entsize,
            )
        )
        offset += len(output.data)
    padding = -offset % _TABLE_ALIGNMENT
    pieces.append(bytes(padding))
    e_shoff = offset + padding

    # Numbers from 0xff00 on do not fit the ELF header; they stand in the null section's header instead.
    count = len(headers)
    headers[0] = pack_header(
        *(0, 0, 0, 0, 0),
        count if count >= SHN_LORESERVE else 0,
        strtab_index if strtab_index >= SHN_LORESERVE else 0,
        *(0, 0, 0),
    )
    # ELFCLASS64, EV_CURRENT
    e_ident = struct.pack("4sBBBB8x", b"\x7fELF", 2, obj.byte_order.ei_data, 1, _osabi(obj))
    pieces[0] = struct.pack(
        f"{prefix}16sHHIQQQIHHHHHH",
        e_ident,
        ET_REL,
        EM_BPF,
        1,  # e_version: EV_CURRENT
        *(0, 0, e_shoff),
        obj.e_flags,
        *(EHDR_SIZE, 0, 0, SHDR_SIZE),
        count if count < SHN_LORESERVE else 0,
        strtab_index if strtab_index < SHN_LORESERVE else SHN_XINDEX,
    )
    return b"".join([*pieces, *headers])


def _osabi(obj: ObjectFile) -> int:
    """EI_OSABI: flags and types from the range of operating systems mean something under GNU's only."""
    uses_gnu = any(section.sh_flags & _GNU_FLAGS for section in obj.sections) or any(
        symbol.st_type is SymbolType.GNU_IFUNC for symbol in obj.symbols
    )
    return ELFOSABI_GNU if uses_gnu else ELFOSABI_NONE
