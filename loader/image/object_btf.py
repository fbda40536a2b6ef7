"""The types of an object and what they say of its instructions: `.BTF` and `.BTF.ext`, read and completed.

Compilers leave it to the loader to say where variables lie: a DATASEC of size 0 gets the size of its section, and
its variables the offsets of their symbols. Variables that other objects cannot see become static. All of that
leaves the ids as they are. Source: libbpf 1.8; the relocations of `.BTF` are LLVM's.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from bpfas.btf.edit import BtfEditor
from bpfas.btf.ext import BtfExt, read_btf_ext
from bpfas.btf.kernel_rules import with_single_encodings
from bpfas.btf.kinds import ENTRY_WORDS, HEADER_WORDS, Kind, Linkage
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.elf.constants import SymbolBinding
from bpfas.objfile import OWN_ONLY, Section, SpecialSection
from bpfas.reloc import RELOCATION_TYPES, addend_of
from bpfas.section_names import (
    BTF_EXT_SECTION,
    BTF_SECTION,
    EXTERN_SECTION,
    KCONFIG_SECTION,
    KSYMS_SECTION,
    MAPS_SECTION,
    is_struct_ops_section,
)

if TYPE_CHECKING:
    from bpfas.btf.btf import Btf, DatasecEntry
    from bpfas.diag import Diagnostics
    from bpfas.objfile import ObjectFile, Relocation, Symbol

_CORE_LENGTH_OFFSET = 28  # struct btf_ext_header, core_relo_len
_WITHOUT_PLACE = frozenset({KSYMS_SECTION, KCONFIG_SECTION, EXTERN_SECTION})
_END_OF_WORDS = 1 << 32
_NO_EXT = BtfExt({}, {}, {})


class ObjectTypes(NamedTuple):
    """The types of an object, and what `.BTF.ext` says of its instructions (nothing where there is none)."""

    btf: Btf
    ext: BtfExt


def read_object_types(obj: ObjectFile, diagnostics: Diagnostics) -> ObjectTypes | None:
    """The types of `obj`, their DATASECs complete; None where it has none that can be read.

    What is wrong with them is an error where the object means nothing without them (it has maps, instances of
    struct_ops, names that are declared only, or CO-RE relocations), else a warning.
    """
    section, ext_section = obj.section(BTF_SECTION), obj.section(BTF_EXT_SECTION)
    has_core = ext_section is not None and _may_have_core_relocations(obj, bytes(ext_section.data))
    if section is None:
        if has_core:
            diagnostics.error(
                "the object has CO-RE relocations, but no types (.BTF) that they could be about",
                f"{obj.name}:({BTF_EXT_SECTION})",
                ("keep both sections, .BTF and .BTF.ext, or neither",),
            )
        return None
    try:
        btf = read_btf(bytes(section.data), obj.byte_order, obj.name)
    except BpfasError as error:
        _report(error, diagnostics, is_error=has_core or _needs_types(obj))
        return None
    btf = _with_complete_datasecs(obj, section, with_single_encodings(btf))
    ext = _NO_EXT
    if ext_section is not None:
        try:
            ext = read_btf_ext(bytes(ext_section.data), obj.byte_order, btf, obj.name)
        except BpfasError as error:
            _report(error, diagnostics, is_error=has_core)
    return ObjectTypes(btf, ext)


def _needs_types(obj: ObjectFile) -> bool:
    """Whether parts of the object are described by its types alone."""
    return any(
        section.sh_size and (section.name == MAPS_SECTION or is_struct_ops_section(section.name))
        for section in obj.sections
    ) or any(
        symbol.section is SpecialSection.UNDEF and symbol.name and symbol.st_bind is not SymbolBinding.LOCAL
        for symbol in obj.symbols
    )


def _may_have_core_relocations(obj: ObjectFile, data: bytes) -> bool:
    """Whether a `.BTF.ext` says that it has CO-RE relocations, without which instructions are not right."""
    order = obj.byte_order.name_for_int
    header_length = int.from_bytes(data[4:8], order)
    end = _CORE_LENGTH_OFFSET + 4
    return len(data) >= end and header_length >= end and any(data[_CORE_LENGTH_OFFSET:end])


def _report(error: BpfasError, diagnostics: Diagnostics, *, is_error: bool) -> None:
    if is_error:
        diagnostics.items += error.diagnostics
        return
    diagnostics.items += (
        Diagnostic(
            Severity.WARNING, item.message, item.at, (*item.notes, "the object is loaded without its types")
        )
        for item in error.diagnostics
    )


def _with_complete_datasecs(obj: ObjectFile, section: Section, btf: Btf) -> Btf:
    """`btf`, in which every DATASEC of a section of the object says where its variables lie."""
    editor = BtfEditor(btf)
    places = _Places(obj, section, btf)
    for datasec in btf.ids_of_kind(Kind.DATASEC):
        name = btf.name(datasec)
        if name in _WITHOUT_PLACE:
            continue
        # Clang lists what is declared to be in a section, which lies in another object's.
        entries = [
            (index, entry)
            for index, entry in enumerate(btf.entries(datasec))
            if btf.kind(entry.type_id) is Kind.VAR and btf.linkage(entry.type_id) is not Linkage.EXTERN
        ]
        home = obj.section(name)
        size = btf.size_or_type(datasec)
        if not size and home is not None:
            size = home.sh_size
            offsets = [
                offset for index, entry in entries if (offset := places.offset(datasec, index, entry)) is not None
            ]
            if len(offsets) < len(entries) or max([size, *offsets]) >= _END_OF_WORDS:
                continue  # whoever needs the places reports it
            found = zip(offsets, entries, strict=True)
            entries = [(index, entry._replace(offset=offset)) for offset, (index, entry) in found]
        complete = sorted((entry for _, entry in entries), key=itemgetter(1))
        if (size, complete) != (btf.size_or_type(datasec), btf.entries(datasec)):
            editor.set_datasec(datasec, size, complete)
        for entry in complete:
            symbol = places.globals.get(btf.name(entry.type_id))
            if name != MAPS_SECTION and symbol is not None and symbol.st_visibility in OWN_ONLY:
                editor.set_linkage(entry.type_id, Linkage.STATIC)
    return editor.finish()


class _Places:
    """Where the variables of an object lie, by its symbols and the relocations of its `.BTF`."""

    def __init__(self, obj: ObjectFile, section: Section, btf: Btf) -> None:
        self._obj = obj
        self._btf = btf
        self._section = section
        self._relocations: dict[int, Relocation] | None = None
        self.globals: dict[str, Symbol] = {}
        self._locals: dict[tuple[Section, str], Symbol] = {}
        for symbol in obj.symbols:
            if not symbol.name or not isinstance(symbol.section, Section) or symbol.section.is_code:
                continue
            if symbol.st_bind is SymbolBinding.LOCAL:
                # GCC numbers the static variables of functions: `name.0`.
                self._locals.setdefault((symbol.section, symbol.name.partition(".")[0]), symbol)
            else:
                self.globals[symbol.name] = symbol

    def offset(self, datasec: int, index: int, entry: DatasecEntry) -> int | None:
        """Where in its section the variable of an entry lies; None for a global one without a symbol."""
        btf, section_name = self._btf, self._btf.name(datasec)
        name = btf.name(entry.type_id)
        relocated = self._relocated_offset(datasec, index, section_name)
        if relocated is not None:
            return relocated
        if btf.linkage(entry.type_id) is Linkage.STATIC:
            home = self._obj.section(section_name)
            local = self._locals.get((home, name)) if home and not entry.offset else None
            return local.st_value if local else entry.offset
        symbol = self.globals.get(name)
        return symbol.st_value if symbol is not None and symbol.section.name == section_name else None

    def _relocated_offset(self, datasec: int, index: int, section_name: str) -> int | None:
        if self._relocations is None:
            self._relocations = {reloc.r_offset: reloc for reloc in self._section.relocations}
        word = self._btf.starts[datasec] + HEADER_WORDS + ENTRY_WORDS[Kind.DATASEC] * index + 1
        relocation = self._relocations.get(self._btf.types_at + 4 * word)
        row = RELOCATION_TYPES.get(relocation.r_type) if relocation else None
        if relocation is None or row is None or relocation.symbol.section.name != section_name:
            return None
        data, order = self._section.data, self._obj.byte_order
        offset = relocation.symbol.st_value + addend_of(row, relocation.r_addend, data, relocation.r_offset, order)
        return offset if 0 <= offset < 1 << 32 else None
