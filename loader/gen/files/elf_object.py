"""A loader program as an ELF object, which any loader of objects can load; the program is then run by its user.

Section `syscall` has the program, `load`; section `.data.loader` its data, `__loader.map`. Any loader makes an
array map of one element of that section. Where the program, as it is generated, names its data by an index of
`fd_array`, the object has a relocation (R_BPF_64_64) against the data: there is no `fd_array` then. The table of
descriptors that the program itself hands to the kernel is in the data, and stays as it is. Source: the ELF format
that LLVM writes for BPF, and libbpf 1.8 reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.elf.constants import SectionFlag, SectionType, SymbolBinding, SymbolType
from bpfas.elf.writer import write_object
from bpfas.isa import SLOT_SIZE
from bpfas.loader.gen.loader_program import LICENSE
from bpfas.loader.instructions import LOAD_IMMEDIATE_64, Code, LoadSource
from bpfas.objfile import ObjectFile, Relocation, Section, Symbol
from bpfas.reloc import RelocationNumber
from bpfas.section_names import LICENSE_SECTION

if TYPE_CHECKING:
    from bpfas.loader.gen.loader_program import LoaderProgram

PROGRAM_NAME, PROGRAM_SECTION = "load", "syscall"
DATA_NAME, DATA_SECTION = "__loader.map", ".data.loader"
_ALIGNMENT = 8


def elf_object(program: LoaderProgram) -> bytes:
    """The bytes of an object with `program`.

    Raises BpfasError for one that was made to be signed: its map has to belong to it alone, and who loads objects
    does not see to that; and for instructions that are cut off.
    """
    if program.scheme is not None:
        raise BpfasError.of(
            "a loader program that is made to be signed cannot be an ELF object: nobody would seal its data",
            program.name,
            ("leave --scheme out, or choose the format raw",),
        )
    writable = SectionFlag.ALLOC | SectionFlag.WRITE
    executable = SectionFlag.ALLOC | SectionFlag.EXECINSTR
    code = Code(program.instructions, program.byte_order)
    text = Section(PROGRAM_SECTION, SectionType.PROGBITS, executable, _ALIGNMENT)
    data = Section(DATA_SECTION, SectionType.PROGBITS, writable, _ALIGNMENT, data=program.data)
    license_ = Section(LICENSE_SECTION, SectionType.PROGBITS, writable, data=LICENSE.encode() + b"\0")
    symbols = [
        _symbol(PROGRAM_NAME, text, len(program.instructions), SymbolType.FUNC),
        _symbol(DATA_NAME, data, len(program.data), SymbolType.OBJECT),
        _symbol("_license", license_, len(license_.data), SymbolType.OBJECT),
    ]
    for index in code.starts():
        if code.opcode(index) == LOAD_IMMEDIATE_64 and SLOT_SIZE * (index + 2) > len(program.instructions):
            raise BpfasError.of("the instructions end within one of 16 bytes", program.name)
        if code.opcode(index) == LOAD_IMMEDIATE_64 and code.src(index) == LoadSource.VALUE_BY_INDEX:
            # The offset becomes the addend, in the first half.
            code.set_src(index, LoadSource.IMMEDIATE)
            code.set_imm(index, code.imm(index + 1))
            code.set_imm(index + 1, 0)
            text.relocations.append(Relocation(SLOT_SIZE * index, RelocationNumber.R_BPF_64_64, symbols[1]))
    text.data = bytes(code.data)
    return write_object(ObjectFile(program.name, program.byte_order, [text, data, license_], symbols))


def _symbol(name: str, section: Section, size: int, kind: SymbolType) -> Symbol:
    return Symbol(name, section, 0, size, SymbolBinding.GLOBAL, kind)
