"""Every directive, used rightly and wrongly."""

from __future__ import annotations

import re

import pytest

from bpfas.asm import assemble, conditionals
from bpfas.asm.assembler import DIRECTIVES
from bpfas.asm.debug_directives import DEBUG_DIRECTIVES
from bpfas.asm.float_directives import FLOAT_DIRECTIVES
from bpfas.asm.frame_directives import FRAME_DIRECTIVES
from bpfas.asm.input_directives import INPUT_DIRECTIVES
from bpfas.asm.listing_directives import LISTING_DIRECTIVES
from bpfas.asm.message_directives import MESSAGE_DIRECTIVES
from bpfas.asm.note_directives import NOTE_DIRECTIVES
from bpfas.asm.relocation_directives import RELOCATION_DIRECTIVES
from bpfas.asm.symbol_versions import VERSION_DIRECTIVES
from bpfas.diag import BpfasError
from bpfas.elf.constants import (
    ByteOrder,
    SectionFlag,
    SectionType,
    SymbolBinding,
    SymbolType,
    SymbolVisibility,
)
from bpfas.objfile import SpecialSection, Symbol


def data_of(statements: str, order: ByteOrder = ByteOrder.LITTLE) -> str:
    section = assemble(f".data\n{statements}\n", byte_order=order).section(".data")
    return bytes(section.data).hex() if section else ""


def symbol_of(statements: str, name: str = "x") -> Symbol:
    symbol = assemble(f"{statements}\n").symbol(name)
    assert symbol
    return symbol


def error(statements: str) -> str:
    with pytest.raises(BpfasError) as raised:
        assemble(f"{statements}\n")
    return str(raised.value)


CONTENTS = [
    (".byte 1, -1, 255, -128", "01ffff80"),
    (".2byte 0x1234", "3412"),
    (".short -2, 65535", "feffffff"),
    (".half 1", "0100"),
    (".hword 1", "0100"),
    (".4byte 1", "01000000"),
    (".long 0x12345678, -1", "78563412ffffffff"),
    (".int 1", "01000000"),
    (".word 1", "01000000"),
    (".8byte 1", "0100000000000000"),
    (".quad 0x123456789abcdef0", "f0debc9a78563412"),
    (".dword -1", "ffffffffffffffff"),
    (".xword 1", "0100000000000000"),
    (".value 1", "0100"),
    (".dc 1, 2", "01000200"),
    (".dc.b 1; .dc.w 1; .dc.l 1", "01010001000000"),
    (".dc.a 1", "0100000000000000"),
    (".octa 0x123456789abcdef0fedcba9876543210", "1032547698badcfef0debc9a78563412"),
    (".octa -1, 2 + 3", "ff" * 16 + "05" + "00" * 15),
    (".16byte -0x80000000000000000000000000000000", "00" * 15 + "80"),
    (".octa 340282366920938463463374607431768211455", "ff" * 16),
    (".octa 2f - 1f; 1: .byte 7; 2:", "01" + "00" * 15 + "07"),
    (".octa 1f - 2f; 1: .byte 7; 2:", "ff" * 16 + "07"),
    (".dcb 2, 1", "01000100"),
    (".dcb.b 3, -1; .dcb.b 1", "ffffff00"),
    (".dcb.w 2, 0x102", "02010201"),
    (".dcb.l 2, 3; .dcb.l 0, 1", "0300000003000000"),
    (".dcb.l 2, 2f - 1f; 1: .byte 7; 2:", "010000000100000007"),
    (".ds 2; .ds.b 1; .ds.w 1; .ds.l 1", "00" * 11),
    (".ds.s 1; .ds.d 1; .ds.x 1; .ds.p 1", "00" * 36),
    (".ds.b 2, 7; .ds.w 1, 0x102; .ds.l 1, -1; .ds.d 1, 5", "07070201ffffffff0500000000000000"),
    (".float 1.5, -1.5, 5, 0x1.8p3", "0000c03f0000c0bf0000a04000004041"),
    (".single 0.1", "cdcccc3d"),
    (".dc.s 16777217, 16777219", "0000804b0200804b"),
    (".double .5, 1e5, 1.e5, 0f1.5", "000000000000e03f00000000006af84000000000006af840000000000000f83f"),
    (".dc.d inf, -Infinity", "000000000000f07f000000000000f0ff"),
    (".dcb.s 2, 1.5", "0000c03f" * 2),
    (".dcb.d 2, 1.5; .dcb.d 1", "000000000000f83f" * 2 + "00" * 8),
    (".nop", "0500000000000000"),
    (".nops 16; .nops 8, 0; .nops 8, 8; .nops 0", "0500000000000000" * 4),
    (".byte", ""),
    ('.ascii "ab", "c"', "616263"),
    ('.ascii "a" "b"', "6162"),
    ('.asciz "ab", "c"', "6162006300"),
    ('.asciz "a" "b", "c"', "6162006300"),
    ('.string "a"', "6100"),
    (r'.ascii "\b\f\n\r\t\"\\\101\x41\0"', "080c0a0d09225c414100"),
    ('.ascii "\xe9"', "c3a9"),
    (r'.ascii "\v\a\e\x\X414\18\189\377\400\1234"', "0b616500141089ff005334"),
    ('.ascii <65>"b"< 0x43 >, <68>', "41624344"),
    ('.string "a"<66>, "b"', "6100426200"),
    ('.string8 "ab"', "616200"),
    ('.string16 "a" "b", "c"', "61006200000063000000"),
    ('.string32 "\xe9"', "c3000000a900000000000000"),
    ('.string64 "a"', "61000000000000000000000000000000"),
    ('.base64 "YWJj", "YQ==", ""', "61626361"),
    (".zero 3", "000000"),
    (".skip 2, 7", "0707"),
    (".space 2, 0x1ff", "ffff"),
    (".fill 2, 2, 0x102", "02010201"),
    (".fill 3", "000000"),
    (".fill 2, 3, 0x12345678", "785634" * 2),
    (".fill 1, 8, -1", "ffffffff00000000"),
    (".fill 2, 0, 1", ""),
    (".fill 1, 8, 0x1122334455", "5544332200000000"),
    (".fill 1, 20, 1", "0100000000000000"),
    (".byte 1; .org 3; .byte 2", "01000002"),
    (".org 2, 0xff", "ffff"),
    (".byte 1; . = 4", "01000000"),
    (".byte 1; . = . + 2", "010000"),
    (".byte 1; .align 2; .byte 2", "0100000002"),
    (".byte 1; .p2align 1; .byte 2", "010002"),
    (".byte 1; .p2align 2, 9", "01090909"),
    (".byte 1; .p2align 3,,6; .byte 2", "0102"),
    (".byte 1; .p2align 2,,6; .byte 2", "0100000002"),
    (".byte 1; .p2align 2,,3; .byte 2", "0100000002"),
    (".byte 1; .p2align 2,,2; .byte 2", "0102"),
    (".byte 1; .p2align 2,5,0; .byte 2", "0105050502"),
    (".byte 1; .p2align 2,-1,", "01ffffff"),
    (".byte 1; .balignw 4; .byte 2", "0100000002"),
    (".byte 1, 2; .p2alignw 2, 0x102", "01020201"),
    (".p2alignl 2, 1; .byte 1", "01"),
    (".byte 1; .balign 4; .byte 2", "0100000002"),
    (".byte 1, 1; .balignw 4, 0x304", "01010403"),
    (".long 1; .balignl 8, 0x01020304", "0100000004030201"),
    (".balign 0; .byte 1", "01"),
    ("BYTE: .BYTE 1", "01"),
    (".uleb128 0, 127, 128, 300", "007f8001ac02"),
    (".uleb128 -1, ~0", "ffffffffffffffffff01" * 2),
    (".uleb128 0x123456789abcdef0123456789abcdef0", "f0bdf3d589cf959a92e0fbe6ab939eabb424"),
    (".sleb128 -0x123456789abcdef0123456789abcdef0", "90c28caaf6b0eae5ed9f8499d4ece1d4cb5b"),
    (".sleb128 0x8000000000000000, -0x10000000000000000", "808080808080808080018080808080808080807e"),
    (".sleb128 0, -1, 63, 64, -64, -65, -300", "007f3fc00040bf7fd47d"),
    (".set v, 5; .byte v; .set v, v + 1; .byte v", "0506"),
    (".equ v, 5; .byte v", "05"),
    (".equiv v, 5; .byte v", "05"),
    ("v = 5; .byte v", "05"),
    (".byte v; v = 5", "05"),
    (".byte 'a'; .byte 'b' # c", "6162"),
    (".byte 'a, 'b', '\\n', ';', '#'", "61620a3b23"),
]


@pytest.mark.parametrize(("statements", "expected"), CONTENTS, ids=[statements for statements, _ in CONTENTS])
def test_contents(statements: str, expected: str) -> None:
    assert data_of(statements) == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (".short 1", "0001"),
        (".long 1", "00000001"),
        (".quad 1", "0000000000000001"),
        (".octa 1", "00000000000000000000000000000001"),
        (".octa 2f - 1f; 1: .byte 7; 2:", "0000000000000000000000000000000107"),
        (".float 1.5", "3fc00000"),
        ('.string16 "a"', "00610000"),
        (".ds.w 1, 1", "0001"),
        (".nop", "0500000000000000"),
        (".fill 1, 4, 1", "00000001"),
        (".byte 1, 2; .p2alignw 2, 0x102", "01020102"),
    ],
)
def test_big_endian_contents(statement: str, expected: str) -> None:
    assert data_of(statement, ByteOrder.BIG) == expected


def test_code_is_padded_with_instructions_that_do_nothing() -> None:
    section = assemble("exit\n.p2align 4\nexit\n").section(".text")
    assert section
    assert bytes(section.data).hex() == "9500000000000000" + "0500000000000000" + "9500000000000000"
    assert section.sh_addralign == 16


@pytest.mark.parametrize(
    ("statement", "name", "sh_type", "flags"),
    [
        (".text", ".text", SectionType.PROGBITS, "ax"),
        (".data", ".data", SectionType.PROGBITS, "aw"),
        (".rodata", ".rodata", SectionType.PROGBITS, "a"),
        (".bss", ".bss", SectionType.NOBITS, "aw"),
        (".section .text.x", ".text.x", SectionType.PROGBITS, "ax"),
        (".section .rodata.str1.1", ".rodata.str1.1", SectionType.PROGBITS, "a"),
        (".section .bss.x", ".bss.x", SectionType.NOBITS, "aw"),
        (".section maps", "maps", SectionType.PROGBITS, ""),
        ('.section maps,"aw",@progbits', "maps", SectionType.PROGBITS, "aw"),
        ('.section "a b","ax",%progbits', "a b", SectionType.PROGBITS, "ax"),
        ('.section x,"aw",@nobits', "x", SectionType.NOBITS, "aw"),
        ('.section x,"a",@note', "x", SectionType.NOTE, "a"),
        ('.section x,"aR"', "x", SectionType.PROGBITS, "aR"),
        ('.pushsection x,"ax"', "x", SectionType.PROGBITS, "ax"),
    ],
)
def test_section(statement: str, name: str, sh_type: SectionType, flags: str) -> None:
    letters = {
        "a": SectionFlag.ALLOC,
        "w": SectionFlag.WRITE,
        "x": SectionFlag.EXECINSTR,
        "R": SectionFlag.GNU_RETAIN,
    }
    section = assemble(f"{statement}\n.zero 8\n").section(name)
    assert section
    assert section.sh_type == sh_type
    assert section.sh_flags == sum(letters[letter] for letter in flags)
    assert section.sh_addralign == (8 if "x" in flags else 1)


def test_a_mergeable_section_has_an_entry_size() -> None:
    section = assemble('.section s,"aMS",@progbits,2\n.byte 1\n').section("s")
    assert section
    assert section.sh_entsize == 2
    assert section.sh_flags == SectionFlag.ALLOC | SectionFlag.MERGE | SectionFlag.STRINGS


def test_sections_can_be_pushed_popped_and_gone_back_to() -> None:
    obj = assemble(
        ".data\n.byte 1\n.pushsection a\n.byte 2\n.popsection\n.byte 3\n.section b\n.previous\n.byte 4\n"
    )
    assert {s.name: bytes(s.data).hex() for s in obj.sections} == {".data": "010304", "a": "02"}


SYMBOLS = [
    (".globl x; x: exit", {"st_bind": SymbolBinding.GLOBAL}),
    ("x: exit; .global x", {"st_bind": SymbolBinding.GLOBAL}),
    (".globl x", {"st_bind": SymbolBinding.GLOBAL, "section": SpecialSection.UNDEF}),
    (".weak x; x: exit", {"st_bind": SymbolBinding.WEAK}),
    (".globl x; .weak x; x: exit", {"st_bind": SymbolBinding.WEAK}),
    (".weak x; .globl x; x: exit", {"st_bind": SymbolBinding.WEAK}),
    (".local x; x: exit", {"st_bind": SymbolBinding.LOCAL}),
    ("x: exit", {"st_bind": SymbolBinding.LOCAL, "st_type": SymbolType.NOTYPE}),
    (".extern x; call x", {"st_bind": SymbolBinding.GLOBAL, "section": SpecialSection.UNDEF}),
    (".hidden x; x: exit", {"st_visibility": SymbolVisibility.HIDDEN}),
    (".internal x; x: exit", {"st_visibility": SymbolVisibility.INTERNAL}),
    (".protected x; x: exit", {"st_visibility": SymbolVisibility.PROTECTED}),
    (".type x, @function; x: exit", {"st_type": SymbolType.FUNC}),
    (".type x, %object; x: exit", {"st_type": SymbolType.OBJECT}),
    (".type x @function; x: exit", {"st_type": SymbolType.FUNC}),
    ('.type x, "notype"; x: exit', {"st_type": SymbolType.NOTYPE}),
    (".type x, STT_FUNC; x: exit", {"st_type": SymbolType.FUNC}),
    ("x: exit; exit; .size x, . - x", {"st_size": 16}),
    (".size x, y - x; x: exit; y:", {"st_size": 8}),
    ("exit; x: exit", {"st_value": 8}),
    (".set x, 7", {"st_value": 7, "section": SpecialSection.ABS}),
    (".set x, -1", {"st_value": (1 << 64) - 1, "section": SpecialSection.ABS}),
    ("exit; y: exit; .set x, y + 8", {"st_value": 16}),
    (".comm x, 12, 4", {"st_size": 12, "st_value": 4, "section": SpecialSection.COMMON}),
    (".comm x, 12", {"st_value": 16, "st_bind": SymbolBinding.GLOBAL, "st_type": SymbolType.OBJECT}),
    (".lcomm y, 1; .lcomm x, 12, 8", {"st_size": 12, "st_value": 8, "st_bind": SymbolBinding.LOCAL}),
    (".local x; .comm x, 12, 4", {"st_value": 0, "st_bind": SymbolBinding.LOCAL}),
    ('.file "x"', {"st_type": SymbolType.FILE, "section": SpecialSection.ABS}),
]


@pytest.mark.parametrize(("statements", "expected"), SYMBOLS, ids=[statements for statements, _ in SYMBOLS])
def test_symbol(statements: str, expected: dict[str, object]) -> None:
    symbol = symbol_of(statements)
    assert {name: getattr(symbol, name) for name in expected} == expected


def test_an_address_significant_symbol_leaves_nothing_unless_a_list_is_asked_for() -> None:
    obj = assemble(".addrsig_sym x\n")
    assert (obj.sections, obj.symbols) == ([], [])


@pytest.mark.parametrize("use", [".quad .Lhere", ".set here, .Lhere"])
def test_an_empty_section_is_made_when_something_names_a_place_in_it(use: str) -> None:
    obj = assemble(f".bss\n.Lhere:\n.data\n{use}\n")
    section = obj.section(".bss")
    assert section
    assert [symbol.section for symbol in obj.symbols] == [section]


@pytest.mark.parametrize("name", [".L1", ".Ltmp"])
def test_temporary_labels_are_not_shown(name: str) -> None:
    assert assemble(f"{name}: exit\n.quad {name}\n").symbol(name) is None


WRONG = [
    (".bogus 1", "unknown directive `.bogus`"),
    (".gl0bl x", "unknown directive `.gl0bl`; did you mean `.globl`?"),
    (".byte 256", "256 does not fit in 8 bits (-128 to 255)"),
    (".byte -129", "-129 does not fit in 8 bits"),
    (".short 65536", "65536 does not fit in 16 bits"),
    (".long 0x100000000", "4294967296 does not fit in 32 bits"),
    (".quad 0x10000000000000000", "18446744073709551616 does not fit in 64 bits"),
    ('.byte "a"', ".byte takes numbers; for text there is .ascii or .asciz"),
    (".byte 1 2", "a comma is missing before this argument"),
    (".long 12abc", "`12abc` is no number"),
    (".byte 0b12", "`0b12` is no number"),
    (".p2align 1f1", "`1f1` is no number"),
    ("r1 = 0b12", "`0b12` is no number"),
    (".byte 12 abc", "a comma is missing before this argument"),
    (".byte 1,,2", "argument 2 of .byte is missing"),
    (".quad 09", "09 is octal because of its leading 0, but has a digit above 7"),
    (".quad 1/0", "division by zero"),
    (".quad 1 << 64", "shift by 64; 64-bit numbers shift by 0 to 63"),
    (".ascii 5", "a string in quotes is needed here"),
    (".zero", ".zero takes 1 to 2 arguments, not 0"),
    (".zero -1", "the count -1 is negative"),
    (".zero x", "the count must be a number, not the address of `x`"),
    ('.zero "a"', "the count must be a number"),
    (".fill 1, -1", "the size -1 is negative"),
    (".fill 1, 2, 3, 4", ".fill takes 1 to 3 arguments, not 4"),
    ("exit; .org 4", ".org 4 would go back from 8"),
    (".data; y: .text; .org y", "`y` is not defined in this section (`.text`)"),
    (".p2align 32", "alignment 2^32 is out of range; the exponent may be 0 to 20"),
    (".align -1", "alignment 2^-1 is out of range"),
    (".balign 3", "alignment 3 is not a power of two up to 1048576"),
    (".p2align 1, 2, 3, 4", ".p2align takes 1 to 3 arguments, not 4"),
    (".globl", ".globl takes at least 1 argument, not 0"),
    (".globl 5", "a name is needed here"),
    (".globl x; .local x", "symbol `x` is global already, not local"),
    (".local x; .weak x", "symbol `x` is local already, not weak"),
    (".type x", ".type takes 2 arguments, not 1"),
    (".type x, @fnction", "symbol type `fnction` is unknown; did you mean `function`?"),
    (".type x, 5", "a symbol cannot be given the type 5, but 0, 1, 2, 6, 10"),
    (".type x, -5", "a symbol's type is written @function or @object"),
    (".type x, @gnu_unique_object", "a unique symbol is for a dynamic linker, which BPF does not have"),
    (".type x, y, @function", ".type takes 2 arguments, not 3"),
    (".size x", ".size takes 2 arguments, not 1"),
    ("x: .size x, y", "x: its size is not a number but the address of `y`"),
    (".set x", ".set takes 2 arguments, not 1"),
    (".set ., 5", "`.` is no symbol"),
    ("x: exit; x = 5", "symbol `x` is already defined"),
    ("x = 5; x: exit", "symbol `x` is already defined"),
    (".equiv x, 1; .equiv x, 2", "symbol `x` is already defined"),
    (".globl x; .set x, y", "x: is set to `y`, which is not defined here, so it cannot be global"),
    (".comm y, 4; .set x, y", "x: is set to `y`, a common symbol, which has no place before linking"),
    (".comm y, 4; .globl x; x = y + 4; .quad x", "x: is set to `y`, a common symbol"),
    (".weak x; x = y + 4", "x: is set to `y`, which is not defined here, so it cannot be weak"),
    (".eqv x", ".eqv takes 2 arguments, not 1"),
    (".eqv x, 1; .eqv x, 2", "symbol `x` is already defined"),
    (".eqv x, 1; x = 2", "symbol `x` is already defined"),
    ("x = 2; x == 1", "symbol `x` is already defined"),
    (". == 1", "`.` is no symbol"),
    (".eqv x, x + 1", "symbol `x` is defined by itself"),
    (".eqv x, y; .eqv y, x", "symbol `x` is defined by itself"),
    ("zero = 1; x == 1 / zero; zero = 0; .byte x", "division by zero"),
    (".lsym x", ".lsym takes 2 arguments, not 1"),
    (".weakref x", ".weakref takes 2 arguments, not 1"),
    (".weakref x, x", "`x` would refer to itself"),
    (".weakref x, y; .weakref y, x; .quad x", "symbol `x` is defined by itself"),
    (".weakref x, y; x: exit", "symbol `x` is already defined"),
    ("x: exit; .weakref x, y", "symbol `x` is already defined"),
    (".weakref x, y + 1", "a name is needed here"),
    (".symver x", ".symver takes 2 to 3 arguments, not 1"),
    (".symver x, y", "a name with a version is written name@version"),
    (".symver x, y@@@@V", "a name with a version is written name@version"),
    (".symver x, y@V, bogus", "`bogus` is none of local, hidden, remove"),
    (
        ".symver x, y@@V; .quad x",
        "x: a default version (@@) is for a symbol that is defined here, which it is not",
    ),
    (".symver x, y@V; .symver x, y@W; .quad x", "x: is not defined here, so it can have one version only"),
    (".comm x, 4; .comm x, 8", "symbol `x` is already defined"),
    (".common x", ".common takes 2 to 3 arguments, not 1"),
    ('"": exit', "a name cannot be empty or have control characters"),
    ('.quad 1 + ""', "a name cannot be empty or have control characters"),
    ('".": exit', "`.` is no symbol"),
    (".comm x", ".comm takes 2 to 3 arguments, not 1"),
    (".comm x, 1, 3", "size 1 with alignment 3 is not possible"),
    (".comm x, -1", "size -1 with alignment 1 is not possible"),
    (".comm x, 1; x: exit", "symbol `x` is already defined"),
    (".file", '.file is written .file "name" or .file number ["directory"] "name" [md5 0x…]'),
    ('.file 1 "a"; .file 1 "b"', "file 1 is `a` already"),
    ('.file 1 "a" sha 5', "after the file's name there can only be `md5 0x…`"),
    (".loc 1 2", "there is no .file 1 before this"),
    ('.file 1 "a"; .loc', ".loc needs a file's number, and the line"),
    ('.file 1 "a"; .loc 1 2 3 bogus', ".loc does not know `bogus`; it knows basic_block"),
    ('.file 1 "a"; .loc 1 2 3 is_stmt', "`is_stmt` needs a number"),
    (".cfi_sections .bogus", "`.bogus` is neither .debug_frame nor .eh_frame"),
    ('.file 1 "a"; .loc 1 1 1 isa (-1)', "-1 is negative"),
    ('.file 1 "a"; .file 3 "c"; .loc 3 1; exit', "there is no .file 2, but files are numbered without gaps"),
    (".cfi_startproc", ".cfi_startproc has no .cfi_endproc"),
    (".cfi_startproc foo", ".cfi_startproc can only have the argument `simple`"),
    (".uleb128 1 2", "a comma is missing before this argument"),
    ("r1 = 5 + r2", "the register `r2` cannot stand in an expression"),
    ("r1 = (r2)", "the register `r2` cannot stand in an expression"),
    ("r1 = *(u8 *)(r2 + r3)", "the register `r3` cannot stand in an expression"),
    ("if r1 == 5 goto r2", "the register `r2` cannot stand in an expression"),
    ("lddw %r1, 2+r2", "the register `r2` cannot stand in an expression"),
    (".long fp", "the register `fp` cannot stand in an expression"),
    (".cfi_endproc", ".cfi_endproc without a .cfi_startproc"),
    (".cfi_startproc; .cfi_startproc", ".cfi_startproc before the .cfi_endproc of the last one"),
    (".cfi_startproc; .data; .cfi_endproc", ".cfi_startproc was in section `.text`, not in `.data`"),
    (".uleb128 -0x8000000000000001", "-9223372036854775809 is negative and does not fit in 64 bits; .sleb128"),
    (".octa 1 << 128", "shift by 128; 64-bit numbers shift by 0 to 63"),
    (
        ".octa 0x100000000000000000000000000000000",
        f"{1 << 128} does not fit in 128 bits ({-(1 << 127)} to {(1 << 128) - 1})",
    ),
    (".octa -0x80000000000000000000000000000001", f"{-(1 << 127) - 1} does not fit in 128 bits"),
    (".octa x", "the value must be a number, not the address of `x`"),
    (
        ".quad -0x10000000000000000",
        "18446744073709551616 does not fit in 64 bits",
    ),
    (".quad 1" + "0" * 1000, "a number may have 1000 characters, not 1001"),
    (".quad 1.5", "1.5 is a floating-point number; .double and .float take it"),
    (".byte 1e5", "1e5 is a floating-point number"),
    ("r1 = 1.5", "1.5 is a floating-point number"),
    (".dc.w 65536", "65536 does not fit in 16 bits (-32768 to 65535)"),
    (".dcb.b 2, 256", "256 does not fit in 8 bits (-128 to 255)"),
    (".dcb.b -1, 2", "the count -1 is negative"),
    (".dcb 1, 2, 3", ".dcb takes 1 to 2 arguments, not 3"),
    (".dcb.l 1 << 40, x", "section `.text` would get 4398046511104 more bytes; it may have 1073741824"),
    ('.dcb.b 2, "a"', ".dcb.b takes numbers; for text there is .ascii or .asciz"),
    (".dcb.d -1", "the count -1 is negative"),
    (".ds.l -1", "the count -1 is negative"),
    (".double 1.5e", "1.5e has no digits in its exponent"),
    (".double 0x1.8", "0x1.8 has no exponent; a hexadecimal floating-point number ends as in 0x1.8p0"),
    (".double 0x10", "0x10 has no exponent"),
    (".double 0xp1", "`0xp1` is no number"),
    (".double 0x.p1", "0x.p1 has no digits"),
    (".double 0b101", "0b101 is no floating-point number"),
    (".double 1.5.5", "`1.5.5` is no number"),
    (".double x", "x is no floating-point number"),
    (".double 1 + 1", "a floating-point number is needed here, such as 1.5, 0x1.8p3 or inf"),
    ('.float "1.5"', "a floating-point number is needed here"),
    (".float - -1", "a floating-point number is needed here"),
    (".float 1." + "0" * 4000, "a floating-point number may have 4000 characters, not 4002"),
    (".nop 1", ".nop takes 0 arguments, not 1"),
    (".reloc 0, R_BPF_64_64", ".reloc takes 3 arguments, not 2"),
    (".reloc 0, R_BPF_64_65, x", "relocation type `R_BPF_64_65` is unknown; did you mean `R_BPF_64_6"),
    (".quad 1; .reloc 0, R_BPF_64_64, x", "section `.text` has no room for a field of R_BPF_64_64"),
    (".quad 1, 2; .reloc 9, BFD_RELOC_64, x", "the offset 9 is out of range; for R_BPF_64_ABS64 it may be 0 to 8"),
    (".quad 1; .reloc -1, BFD_RELOC_64, x", "the offset -1 is out of range"),
    (".bss; .zero 8; .reloc 0, BFD_RELOC_64, x", "section `.bss` has no room for a field of R_BPF_64_ABS64"),
    (".data; y: .text; .quad 1; .reloc y, BFD_RELOC_64, x", "`y` is not defined in section `.text`"),
    (".quad 1; .reloc 0, BFD_RELOC_64, 5", "a relocation needs a symbol, not the number 5"),
    (".quad 1; .reloc 0, BFD_RELOC_64, .Lx", "label `.Lx` is not defined"),
    (".quad 1; .reloc 0, R_BPF_64_32, x + 4", "addend 4 is not a whole number of instructions"),
    (".quad 1; .reloc 0, BFD_RELOC_32, x + 0x80000000", "R_BPF_64_ABS32 addend 2147483648 is not in the range"),
    (".quad 1; .reloc 0, BFD_RELOC_NONE, x + 1", "R_BPF_NONE has no field for the addend 1"),
    (".nops 12", "the size 12 is no multiple of an instruction's 8 bytes"),
    (".nops -8", "the size -8 is no multiple of an instruction's 8 bytes"),
    (".nops 16, 4", "instructions have 8 bytes; 4 is not possible"),
    ('.ascii <256>"a"', "256 does not fit in 8 bits (0 to 255)"),
    (".ascii <08>", "08 is octal because of its leading 0"),
    (".byte <8>", ".byte takes numbers; for text there is .ascii or .asciz"),
    ('.string16 "a", 5', "a string in quotes is needed here"),
    ('.base64 "YQ"', "this is no base64: Incorrect padding"),
    ('.base64 "Y*=="', "this is no base64: Only base64 data is allowed"),
    ('.base64 "YQ==" "YQ=="', "a comma is missing before this argument"),
    ('.incbin "/there/is/none"', "there is no file `/there/is/none`"),
    (".incbin x", "a string in quotes is needed here"),
    (".incbin", ".incbin takes 1 to 3 arguments, not 0"),
    (".byte 1; .p2alignw 2, 1; .byte 1", "the gap of 3 bytes cannot be filled with a value of 2 bytes"),
    (".byte 1; .balignl 8, 1; .byte 1", "the gap of 7 bytes cannot be filled with a value of 4 bytes"),
    (".p2align 2,,-1", "the greatest gap -1 is negative"),
    (".p2align 2, x", "the fill value must be a number that is known here"),
    (".uleb128 x", "the value must be a number, not the address of `x`"),
    (".section", ".section needs the section's name"),
    (".section x, 5", 'the flags are a string, such as "aw"'),
    ('.section x,"aq"', "section flag `q` is unknown; there are awxMSoGTRdeE? and numbers"),
    ('.section x,"089"', "089 is octal because of its leading 0, but has a digit above 7"),
    ('.section x,"0x40"', "a section cannot be given the flags 0x40"),
    ('.section x,"0x10000000000000000"', "a section cannot be given the flags 0x10000000000000000"),
    ('.section x,"aG?",@progbits,g', "a section is in a group of its own (G) or in the current section's (?)"),
    ('.section x,"aG"', "a section of a group (flag G) needs the group's name"),
    ('.section x,"aG",@progbits,""', "a name cannot be empty or have control characters"),
    ('.section x,"aG",@progbits,g,once', "this argument of .section is one too many"),
    ('.section x,"ao",@progbits', "link order (flag o) needs the section to go with, or a symbol in it"),
    ('.section x,"ao",@progbits,3', "a section is named by its name; the number 0 means none"),
    (
        '.section x,"ao",@progbits,zork; .byte 1',
        "section `x` is to go with `zork`, which is neither a section nor",
    ),
    ('.section x,"d"', "the flag `d` needs `a`: it is for sections in memory"),
    ('.section x,"a",@progbits,unique', "behind `unique` there must be a number"),
    ('.section x,"a",@progbits,unique,-1', "the number behind `unique` is -1, but may be 0 to 4294967294"),
    ('.section x,"a",@progbits,unique,1,2', "this argument of .section is one too many"),
    ('.section x,"aM",@progbits,0', "the entry size is 0, but may be 1 to 4294967294"),
    ('.section x,"",@17', "a section cannot be given the type 0x11"),
    ('.section x,"",@1z', "section type `1z` is unknown"),
    (".pushsection x,-1", "subsection -1 is not one of 0 to 8192"),
    (".ident", ".ident takes at least 1 argument, not 0"),
    (".ident 5", "a string in quotes is needed here"),
    ('.version "a","b"', ".version takes 1 argument, not 2"),
    (".version 5", "a string in quotes is needed here"),
    (".addrsig 5", ".addrsig takes 0 arguments, not 1"),
    (".addrsig_sym a, b", ".addrsig_sym takes 1 argument, not 2"),
    (".addrsig_sym 5", "a name is needed here"),
    ('.section x,"a",@bogus', "section type `bogus` is unknown; there are @progbits"),
    ('.section x,"aM",@progbits', "a mergeable section (flag M) needs the size of its entries"),
    ('.section x,"a",@progbits,1', "this argument of .section is one too many"),
    ('.section x,"a"; .byte 1; .section x,"aw"', "section `x` has type @progbits, flags"),
    (".text -1", "subsection -1 is not one of 0 to 8192"),
    (".subsection x", "the subsection's number must be a number that is known here"),
    (".popsection", ".popsection has no .pushsection to go back from"),
    (".previous", ".previous: there was no section before this one"),
    (".bss; .byte 1", "section `.bss` is @nobits, so its bytes can only be zero"),
    (".bss; .long x", "section `.bss` is @nobits, so it can hold no address"),
    (".bss; exit", "section `.bss` is @nobits, so its bytes can only be zero"),
]


@pytest.mark.parametrize(("statements", "message"), WRONG, ids=[statements for statements, _ in WRONG])
def test_wrong_use(statements: str, message: str) -> None:
    assert f"error: {message}" in error(statements)


@pytest.mark.parametrize(
    ("statement", "marked"),
    [
        (".byte 1, 300, 2", "300"),
        (".byte 1, -300", "-300"),
        (".octa 1, 1 << 70", "1 << 70"),
        (".double 1, -1.5e", "-1.5e"),
        (".float .5, 0x10", "0x10"),
        (".quad 2, 1.5", "1.5"),
        ('.ascii "a", <300>', "300"),
        ('.base64 "YQ==", "*"', '"*"'),
        ('.incbin "none.bin"', '"none.bin"'),
        (".dcb.b 2, 300", "300"),
        (".dcb.l -5, 300", "-5"),
        (".ds.l x", "x"),
        (".fill 1, -2, 3", "-2"),
        (".p2align 2, 1, -7", "-7"),
        (".p2align 77, 1", "77"),
        (".nops 20", "20"),
        (".uleb128 1, -0x8000000000000001", "-0x8000000000000001"),
        (".byte 1; .balignw 8, 3", "8"),
        (".quad 1; .reloc 8, R_BPF_64_64, x", "8"),
        (".quad 1; .reloc 0, R_BPF_64, x", "R_BPF_64"),
        (".quad 1; .reloc 0, BFD_RELOC_64, 7", "7"),
    ],
)
def test_the_caret_is_at_the_operand(statement: str, marked: str) -> None:
    lines = error(statement).splitlines()
    start, end = lines[2].index("^"), len(lines[2])
    assert lines[1][start:end] == marked


def test_a_second_definition_names_the_first() -> None:
    assert error("x: exit\nx: exit") == (
        "<string>:2:1: error: symbol `x` is already defined\nx: exit\n^\n>>> first defined at <string>:1:1"
    )


@pytest.mark.parametrize(
    ("known", "table"),
    [
        (INPUT_DIRECTIVES, conditionals.DIRECTIVES),
        (DIRECTIVES, DEBUG_DIRECTIVES),
        (DIRECTIVES, FLOAT_DIRECTIVES),
        (DIRECTIVES, FRAME_DIRECTIVES),
        (DIRECTIVES, LISTING_DIRECTIVES),
        (DIRECTIVES, MESSAGE_DIRECTIVES),
        (DIRECTIVES, NOTE_DIRECTIVES),
        (DIRECTIVES, RELOCATION_DIRECTIVES),
        (DIRECTIVES, VERSION_DIRECTIVES),
    ],
)
def test_a_table_that_is_imported_on_demand_is_known_by_its_names(
    known: dict[str, object], table: dict[str, object]
) -> None:
    places = {name: getattr(handler, "args", ())[:2] for name, handler in known.items()}
    (place,) = {places[name] for name in table}
    assert {name for name in known if places[name] == place} == set(table)


@pytest.mark.parametrize("name", sorted(DIRECTIVES))
def test_every_directive_is_tested(name: str) -> None:
    used = [statements for statements, *_ in (*CONTENTS, *SYMBOLS, *WRONG)]
    elsewhere = (
        ".err",
        ".error",
        ".warning",
        ".print",
        ".rodata",
        ".subsection",
        ".pushsection",
        *DEBUG_DIRECTIVES,
        *FRAME_DIRECTIVES,
    )
    assert name in elsewhere or name in LISTING_DIRECTIVES or any(name in statements for statements in used)


def test_everything_wrong_with_a_list_and_with_a_comment_is_said() -> None:
    found = error(".byte 256, 1, -129\nbogus\n/* open\nfoo")
    places = re.findall(r"<string>:(\d+:\d+): error", found)
    assert places == ["1:7", "1:15", "2:1", "3:1"]
