"""The BPF instruction set as one table; encoding, decoding and printing all derive from it.

A row gives an instruction's text in both dialects, in the kernel's spelling where that is another, and its bits.
The texts are templates: `{dst}` stands for an operand, everything else for itself. The assembler recognises a
statement by its `form`, the text with the operands' values taken out, so a new row here is all it takes to add an
instruction (and its forms go into the reference page). Parsing text is `bpfas.asm`'s part. Facts: RFC 9669 and the
kernel's instruction-set document; spellings are those of GNU as (normal), LLVM (pseudo-C) and kernel/bpf/disasm.c.

An instruction is one slot of 8 bytes, `opcode:8 dst:4 src:4 off:16 imm:32`, or for a 64-bit immediate two, of
which the second holds only the immediate's high half (RFC 9669 §3).
"""

from __future__ import annotations

import enum
import re
import struct
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from bpfas.elf.constants import ByteOrder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SLOT_SIZE = 8
"""Bytes of an instruction slot."""

REGISTER_COUNT = 12
"""r0 to r11; the kernel keeps r11 for itself, LLVM's assembler takes it."""


PSEUDO_MAP_FD = 1
"""src of a 64-bit immediate load whose immediate is a map's descriptor."""
PSEUDO_CALL = 1
"""src of a call of a function in the same program."""
PSEUDO_KFUNC_CALL = 2
"""src of a call of a kernel function by its BTF id."""
PSEUDO_FUNC = 4
"""src of a 64-bit immediate load whose immediate is the distance of a function."""
FETCH = 0x01
"""Bit of imm: the atomic operation gives the old value."""
LOAD_ACQUIRE = 0x100
STORE_RELEASE = 0x110

_SIZES = (("b", 8, 0x10), ("h", 16, 0x08), ("w", 32, 0x00), ("dw", 64, 0x18))


class Dialect(enum.Enum):
    """The two ways to write an instruction."""

    NORMAL = "normal"
    PSEUDOC = "pseudoc"


class IsaVersion(enum.IntEnum):
    """The version of the instruction set that an instruction came with."""

    V1 = 1
    V2 = 2
    V3 = 3
    V4 = 4
    LATEST = 5  # after v4, without a number of its own
    XBPF = 15  # GNU's extension for simulators

    @property
    def spelling(self) -> str:
        """As -misa-spec= takes it."""
        return self.name.lower()


class OperandKind(NamedTuple):
    """What a placeholder of a template stands for.

    `form` is the class of text that the grammar gives it: R and W a 64- and a 32-bit register, I an expression,
    O the signed offset in a memory operand, P an offset after `pc`, M a `%map(…)`, H a helper's name and number.
    `field` is where its value is encoded, `low` to `high` are the numbers it takes as they are decoded;
    `unsigned_high`, where larger, lets a source write the same bits as an unsigned number.
    """

    form: str
    field: str
    low: int
    high: int
    unsigned_high: int = 0
    is_target: bool = False

    def accepts(self, value: int) -> bool:
        """Whether a source may write `value` here."""
        return self.low <= value <= max(self.high, self.unsigned_high)

    def wrap(self, value: int) -> int:
        """`value`, which `accepts` has let through, as the number that is decoded from its bits."""
        return value - (self.unsigned_high + 1) if value > self.high else value


def _signed(form: str, name: str, bits: int) -> OperandKind:
    half = 1 << bits - 1
    return OperandKind(form, name, -half, half - 1, 2 * half - 1)


_TOP_REGISTER = REGISTER_COUNT - 1
OPERAND_KINDS: dict[str, OperandKind] = {
    "dst": OperandKind("R", "dst", 0, _TOP_REGISTER),
    "src": OperandKind("R", "src", 0, _TOP_REGISTER),
    "wdst": OperandKind("W", "dst", 0, _TOP_REGISTER),
    "wsrc": OperandKind("W", "src", 0, _TOP_REGISTER),
    "off": _signed("O", "off", 16),
    "imm": _signed("I", "imm", 32),
    "immoff": _signed("O", "imm", 32),
    "imm64": _signed("I", "imm", 64),
    # Where a jump goes has a sign: 40000 instructions forward are not 25536 back.
    "disp16": OperandKind("I", "off", -(1 << 15), (1 << 15) - 1, is_target=True),
    "disp32": OperandKind("I", "imm", -(1 << 31), (1 << 31) - 1, is_target=True),
    "pcrel": OperandKind("P", "imm", -(1 << 31), (1 << 31) - 1),
    "jump16": OperandKind("P", "off", -(1 << 15), (1 << 15) - 1),
    "jump32": OperandKind("P", "imm", -(1 << 31), (1 << 31) - 1),
    "helper": _signed("H", "imm", 32),
    "map": OperandKind("M", "imm", 0, 0),
    "pseudo": OperandKind("I", "src", 1, 15),
    "index": OperandKind("I", "off", 0, 0x7FFF),
    "dst_as": OperandKind("I", "imm_high", 0, 0x7FFF),
    "src_as": OperandKind("I", "imm_low", 0, 0xFFFF),
}
"""Every placeholder. `disp16`, `disp32`, `jump16`, `jump32` and `pcrel` count instructions from the next one."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_TEMPLATE_PIECE = re.compile(
    r"\{(?P<operand>\w+)\}|(?<!\w)(?P<register>[rw])(?P<number>\d)\b|(?<!\w)(?P<literal>\d+)"
)


class FormOperand(NamedTuple):
    """One operand of a form, in the order of the text: a placeholder's name, or the only value it may have."""

    name: str | None
    literal: int | None = None


_NAMED_OPERANDS = {name: FormOperand(name) for name in OPERAND_KINDS}


class Opcode:
    """A row of the table. Fields that neither `fixed` nor an operand names are reserved and must be zero.

    `is_alias` is another spelling of a row that decoding prefers. `kernel` is the text in the verifier's log and
    in `bpftool prog dump xlated` where it is not the pseudo-C one.
    """

    def __init__(
        self,
        name: str,
        code: int,
        normal: str,
        pseudoc: str,
        isa: IsaVersion = IsaVersion.V1,
        fixed: Mapping[str, int] = MappingProxyType({}),
        is_wide: bool = False,
        is_alias: bool = False,
        kernel: str = "",
    ) -> None:
        self.name = name
        self.code = code
        self.normal = normal
        self.pseudoc = pseudoc
        self.isa = isa
        self.fixed = fixed
        self.is_wide = is_wide
        self.is_alias = is_alias
        self.kernel = kernel

    def __repr__(self) -> str:
        return f"Opcode({self.name!r})"

    @property
    def size(self) -> int:
        """Bytes, 8 or 16."""
        return 2 * SLOT_SIZE if self.is_wide else SLOT_SIZE

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """The names of the operands, each once."""
        return tuple(dict.fromkeys(_PLACEHOLDER.findall(self.pseudoc or self.normal)))

    @cached_property
    def kinds(self) -> dict[str, OperandKind]:
        """The operands' kinds by field; 32-bit registers as the dialect that tells them apart has them."""
        return {OPERAND_KINDS[name].field: OPERAND_KINDS[name] for name in self.operands}

    def template(self, dialect: Dialect) -> str:
        """The text in `dialect`."""
        return self.normal if dialect is Dialect.NORMAL else self.pseudoc

    def forms(self) -> Iterator[tuple[str, tuple[FormOperand, ...]]]:
        """Each text's form and what its operands are, in order."""
        for text in dict.fromkeys((self.normal, self.pseudoc, self.kernel)):
            if text:
                yield template_form(text)


def template_form(template: str) -> tuple[str, tuple[FormOperand, ...]]:
    """The form of a template (its text without blanks, a letter in place of each operand) and its operands."""
    operands: list[FormOperand] = []

    def letter(match: re.Match[str]) -> str:
        if name := match["operand"]:
            operands.append(_NAMED_OPERANDS[name])
            return OPERAND_KINDS[name].form
        if match["register"]:
            operands.append(FormOperand(None, int(match["number"])))
            return match["register"].upper()
        operands.append(FormOperand(None, int(match["literal"])))
        return "I"

    form = _TEMPLATE_PIECE.sub(letter, template)
    return "".join(form.split()), tuple(operands)


def _arithmetic() -> Iterator[Opcode]:
    operations = (
        ("add", "+=", 0x00), ("sub", "-=", 0x10), ("mul", "*=", 0x20), ("div", "/=", 0x30), ("or", "|=", 0x40),
        ("and", "&=", 0x50), ("lsh", "<<=", 0x60), ("rsh", ">>=", 0x70), ("mod", "%=", 0x90), ("xor", "^=", 0xA0),
        ("mov", "=", 0xB0), ("arsh", "s>>=", 0xC0), ("sdiv", "s/=", 0x30), ("smod", "s%=", 0x90),
    )  # fmt: skip
    for name, operator, code in operations:
        isa, fixed = (IsaVersion.V4, {"off": 1}) if name in ("sdiv", "smod") else (IsaVersion.V1, {})
        for suffix, w, instruction_class in (("", "", 7), ("32", "w", 4)):
            pseudoc = f"{{{w}dst}} {operator}"
            for kind, operand, source in (("imm", "{imm}", 0), ("reg", f"{{{w}src}}", 8)):
                normal = f"{name}{suffix} {{dst}}, {'{imm}' if kind == 'imm' else '{src}'}"
                row = f"{name}{suffix}_{kind}"
                yield Opcode(row, code | source | instruction_class, normal, f"{pseudoc} {operand}", isa, fixed)
    yield Opcode("neg", 0x87, "neg {dst}", "{dst} = -{dst}")
    yield Opcode("neg32", 0x84, "neg32 {dst}", "{wdst} = -{wdst}")
    for suffix, w, code, widths in (("", "", 0xBF, (8, 16, 32)), ("32", "w", 0xBC, (8, 16))):
        for width in widths:
            normal = f"movs{suffix} {{dst}}, {{src}}, {width}"
            pseudoc = f"{{{w}dst}} = (s{width}) {{{w}src}}"
            yield Opcode(f"movs{suffix}_{width}", code, normal, pseudoc, IsaVersion.V4, {"off": width})
    swaps = (
        ("endle", "le", 0xD4, IsaVersion.V1),
        ("endbe", "be", 0xDC, IsaVersion.V1),
        ("bswap", "bswap", 0xD7, IsaVersion.V4),
    )
    for name, function, code, isa in swaps:
        for width in (16, 32, 64):
            pseudoc = f"{{dst}} = {function}{width} {{dst}}"
            yield Opcode(f"{name}{width}", code, f"{name} {{dst}}, {width}", pseudoc, isa, {"imm": width})
    yield Opcode(
        "addr_space_cast",
        0xBF,
        "addr_space_cast {dst}, {src}, {dst_as}, {src_as}",
        "{dst} = addr_space_cast({src}, {dst_as}, {src_as})",
        IsaVersion.LATEST,
        {"off": 1},
    )
    yield Opcode("mov32_from_w", 0xBC, "", "{dst} = {wsrc}", is_alias=True)  # clang prints it


def _loads_and_stores() -> Iterator[Opcode]:
    # The kernel's text is that of a mov; the opcode before it tells the two apart.
    yield Opcode("lddw", 0x18, "lddw {dst}, {imm64}", "{dst} = {imm64} ll", is_wide=True, kernel="{dst} = {imm64}")
    yield Opcode("ldimm64", 0x18, "ldimm64 {dst}, {imm64}", "", is_wide=True, is_alias=True)
    pseudo_load = "ld_pseudo {dst}, {pseudo}, {imm64}"
    yield Opcode("ld_pseudo", 0x18, pseudo_load, pseudo_load, is_wide=True)
    map_fd = {"src": PSEUDO_MAP_FD}
    yield Opcode(
        "lddw_map", 0x18, "lddw {dst}, {map}", "{dst} = {map} ll", fixed=map_fd, is_wide=True, is_alias=True
    )
    yield Opcode("ldimm64_map", 0x18, "ldimm64 {dst}, {map}", "", fixed=map_fd, is_wide=True, is_alias=True)
    for suffix, width, size in _SIZES[:3]:
        packet = f"r0 = *(u{width} *)skb"
        yield Opcode(f"ldabs{suffix}", 0x20 | size, f"ldabs{suffix} {{imm}}", f"{packet}[{{imm}}]")
        indirect = f"ldind{suffix} {{src}}, {{imm}}"
        yield Opcode(f"ldind{suffix}", 0x40 | size, indirect, f"{packet}[{{src}}{{immoff}}]")
    for suffix, width, size in _SIZES:
        load, at = f"ldx{suffix} {{dst}}, [{{src}}{{off}}]", f"*(u{width} *)({{src}}{{off}})"
        yield Opcode(f"ldx{suffix}", 0x61 | size, load, f"{{dst}} = {at}")
        signed = f"ldxs{suffix} {{dst}}, [{{src}}{{off}}]"
        at_signed = f"*(s{width} *)({{src}}{{off}})"
        yield Opcode(f"ldxs{suffix}", 0x81 | size, signed, f"{{dst}} = {at_signed}", IsaVersion.V4)
        to, at = "[{dst}{off}]", f"*(u{width} *)({{dst}}{{off}})"
        yield Opcode(f"stx{suffix}", 0x63 | size, f"stx{suffix} {to}, {{src}}", f"{at} = {{src}}")
        yield Opcode(f"st{suffix}", 0x62 | size, f"st{suffix} {to}, {{imm}}", f"{at} = {{imm}}")
        if width < 64:  # LLVM names the 32-bit half that is loaded or stored
            w_load = f"{{wdst}} = *(u{width} *)({{src}}{{off}})"
            yield Opcode(f"ldx{suffix}_w", 0x61 | size, "", w_load, is_alias=True)
            yield Opcode(f"stx{suffix}_w", 0x63 | size, "", f"{at} = {{wsrc}}", is_alias=True)


def _atomics() -> Iterator[Opcode]:
    operations = (("add", "+=", 0x00), ("or", "|=", 0x40), ("and", "&=", 0x50), ("xor", "^=", 0xA0))
    for suffix, w, width, code in (("", "", 64, 0xDB), ("32", "w", 32, 0xC3)):
        src, to = f"{{{w}src}}", f"*(u{width} *)({{dst}}{{off}})"
        pointer = f"(u{width} *)({{dst}}{{off}})"
        kernel_function = "atomic64" if width == 64 else "atomic"
        for name, operator, imm in operations:
            normal = "[{dst}{off}], {src}"
            plain = f"lock {to} {operator} {src}"
            yield Opcode(
                f"a{name}{suffix}",
                code,
                f"a{name}{suffix} {normal}",
                plain,
                IsaVersion.V3,
                {"imm": imm},
                # The kernel's 32-bit add is in the table since v1: xaddw_lock.
                kernel=f"lock {to} {operator} {{src}}" if width == 32 and name != "add" else "",
            )
            yield Opcode(
                f"af{name}{suffix}",
                code,
                f"af{name}{suffix} {normal}",
                f"{src} = atomic_fetch_{name}({pointer}, {src})",
                IsaVersion.V3,
                {"imm": imm | FETCH},
                kernel=f"{{src}} = {kernel_function}_fetch_{name}({pointer}, {{src}})",
            )
        function = "64" if width == 64 else "32_32"
        yield Opcode(
            f"axchg{suffix}",
            code,
            f"axchg{suffix} {normal}",
            f"{src} = xchg{'_' if width == 64 else ''}{function}({{dst}}{{off}}, {src})",
            IsaVersion.V3,
            {"imm": 0xE0 | FETCH},
            kernel=f"{{src}} = {kernel_function}_xchg({pointer}, {{src}})",
        )
        r0 = "r0" if width == 64 else "w0"
        yield Opcode(
            f"acmp{suffix}",
            code,
            f"acmp{suffix} {normal}",
            f"{r0} = cmpxchg{'_' if width == 64 else ''}{function}({{dst}}{{off}}, {r0}, {src})",
            IsaVersion.V3,
            {"imm": 0xF0 | FETCH},
            kernel=f"r0 = {kernel_function}_cmpxchg({pointer}, r0, {{src}})",
        )
    # The add of before there were other atomics: the same bits under its old names.
    yield Opcode("xadddw", 0xDB, "xadddw [{dst}{off}], {src}", "*(u64 *)({dst}{off}) += {src}", is_alias=True)
    yield Opcode("xaddw", 0xC3, "xaddw [{dst}{off}], {src}", "*(u32 *)({dst}{off}) += {src}", is_alias=True)
    yield Opcode("xaddw_w", 0xC3, "", "*(u32 *)({dst}{off}) += {wsrc}", is_alias=True)
    yield Opcode("xaddw_lock", 0xC3, "", "lock *(u32 *)({dst}{off}) += {src}", is_alias=True)
    for suffix, width, size in _SIZES:
        w = "" if width == 64 else "w"
        code = 0xC3 | size
        acquire = f"load_acquire((u{width} *)({{src}}{{off}}))"
        yield Opcode(
            f"ldacq{suffix}",
            code,
            f"ldacq{suffix} {{dst}}, [{{src}}{{off}}]",
            f"{{{w}dst}} = {acquire}",
            IsaVersion.LATEST,
            {"imm": LOAD_ACQUIRE},
            kernel=f"{{dst}} = {acquire}" if w else "",
        )
        release = f"store_release((u{width} *)({{dst}}{{off}})"
        yield Opcode(
            f"strel{suffix}",
            code,
            f"strel{suffix} [{{dst}}{{off}}], {{src}}",
            f"{release}, {{{w}src}})",
            IsaVersion.LATEST,
            {"imm": STORE_RELEASE},
            kernel=f"{release}, {{src}})" if w else "",
        )


def _jumps() -> Iterator[Opcode]:
    yield Opcode("ja", 0x05, "ja {disp16}", "goto {disp16}", kernel="goto pc{jump16}")
    yield Opcode("jal", 0x06, "jal {disp32}", "gotol {disp32}", IsaVersion.V4, kernel="gotol pc{jump32}")
    comparisons = (
        ("jeq", "==", 0x10, 1), ("jgt", ">", 0x20, 1), ("jge", ">=", 0x30, 1), ("jset", "&", 0x40, 1),
        ("jne", "!=", 0x50, 1), ("jsgt", "s>", 0x60, 1), ("jsge", "s>=", 0x70, 1), ("jlt", "<", 0xA0, 2),
        ("jle", "<=", 0xB0, 2), ("jslt", "s<", 0xC0, 2), ("jsle", "s<=", 0xD0, 2),
    )  # fmt: skip
    for name, operator, code, version in comparisons:
        for suffix, w, instruction_class in (("", "", 5), ("32", "w", 6)):
            isa = IsaVersion.V3 if suffix else IsaVersion(version)
            for kind, bit, w_operand, operand in (
                ("imm", 0, "{imm}", "{imm}"),
                ("reg", 8, f"{{{w}src}}", "{src}"),
            ):
                normal = f"{name}{suffix} {{dst}}, {operand}, {{disp16}}"
                condition = f"if {{{w}dst}} {operator} {w_operand}"
                yield Opcode(
                    f"{name}{suffix}_{kind}",
                    code | bit | instruction_class,
                    normal,
                    f"{condition} goto {{disp16}}",
                    isa,
                    kernel=f"{condition} goto pc{{jump16}}",
                )
    yield Opcode("call", 0x85, "call {imm}", "call {imm}", kernel="call {helper}")
    pseudo_call = "call pc{pcrel}"
    yield Opcode("call_pseudo", 0x85, pseudo_call, pseudo_call, fixed={"src": PSEUDO_CALL})
    kernel_call = "call_kfunc {imm}, {index}"
    yield Opcode("call_kfunc", 0x85, kernel_call, kernel_call, IsaVersion.LATEST, {"src": PSEUDO_KFUNC_CALL})
    yield Opcode("callx", 0x8D, "callx {dst}", "callx {dst}")
    yield Opcode("call_reg", 0x8D, "call {dst}", "call {dst}", is_alias=True)
    yield Opcode("exit", 0x95, "exit", "exit")
    may_goto = "may_goto {disp16}"
    yield Opcode("may_goto", 0xE5, may_goto, may_goto, IsaVersion.LATEST, kernel="may_goto pc{jump16}")
    yield Opcode("gotox", 0x0D, "gotox {dst}", "gotox {dst}", IsaVersion.LATEST)
    yield Opcode("brkpt", 0x8C, "brkpt", "brkpt", IsaVersion.XBPF)


OPCODES: tuple[Opcode, ...] = (*_arithmetic(), *_loads_and_stores(), *_atomics(), *_jumps())
"""Every instruction, aliases included."""

BY_NAME: dict[str, Opcode] = {row.name: row for row in OPCODES}


class DecodeError(ValueError):
    """Bytes that are no instruction: which field is wrong, its value, and what it may be."""


class Instruction(NamedTuple):
    """A row with its operands, by field. Fields that the row fixes are taken from the row, whatever stands here.

    `off` and `imm` are signed as encoded; `imm` has 64 bits in a wide instruction.
    """

    opcode: Opcode
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0


def encode(instruction: Instruction, order: ByteOrder = ByteOrder.LITTLE) -> bytes:
    """The 8 or 16 bytes of an instruction.

    Raises ValueError if an operand is outside its kind's bounds, or a field that is no operand is not zero.
    """
    row = instruction.opcode
    values = {"dst": instruction.dst, "src": instruction.src, "off": instruction.off, "imm": instruction.imm}
    for name, value in values.items():
        if name in row.fixed:
            values[name] = row.fixed[name]
        elif not _operand_accepts(row, name, value):
            raise ValueError(f"{row.name}: {name} cannot be {value}")
    return _pack(row, values["dst"], values["src"], values["off"], values["imm"], order)


def _operand_accepts(row: Opcode, name: str, value: int) -> bool:
    if name == "imm" and "imm_high" in row.kinds:
        high, low = value >> 16, value & 0xFFFF
        return all(row.kinds[k].low <= v <= row.kinds[k].high for k, v in (("imm_high", high), ("imm_low", low)))
    kind = row.kinds.get(name)
    return value == 0 if kind is None else kind.low <= value <= kind.high


def _pack(row: Opcode, dst: int, src: int, off: int, imm: int, order: ByteOrder) -> bytes:
    registers = src << 4 | dst if order is ByteOrder.LITTLE else dst << 4 | src
    low = imm & 0xFFFFFFFF
    slot = struct.pack(f"{order.value}BBhI", row.code, registers, off, low)
    if not row.is_wide:
        return slot
    return slot + struct.pack(f"{order.value}4xI", imm >> 32 & 0xFFFFFFFF)


_BY_CODE: dict[int, list[Opcode]] = {}
for _row in OPCODES:
    if not _row.is_alias:
        _BY_CODE.setdefault(_row.code, []).append(_row)


def decode(data: bytes | bytearray, offset: int = 0, order: ByteOrder = ByteOrder.LITTLE) -> Instruction:
    """The instruction at byte `offset` of `data`.

    Decoding is strict: raises DecodeError for an opcode that is none, for a reserved field that is not zero, for
    a value that no row has, and for bytes that end too early.
    """
    if offset + SLOT_SIZE > len(data):
        raise DecodeError(f"{len(data) - offset} bytes are left; an instruction has {SLOT_SIZE}")
    code, registers, off, imm = struct.unpack_from(f"{order.value}BBhi", data, offset)
    high, low = registers >> 4, registers & 15
    dst, src = (low, high) if order is ByteOrder.LITTLE else (high, low)
    rows = _BY_CODE.get(code)
    if rows is None:
        raise DecodeError(f"opcode {code:#04x} is no instruction")
    if rows[0].is_wide:
        if offset + 2 * SLOT_SIZE > len(data):
            raise DecodeError("the second half of a 64-bit immediate load is missing")
        next_code, next_registers, next_off, next_imm = struct.unpack_from(
            f"{order.value}BBhi", data, offset + SLOT_SIZE
        )
        for name, value in (("opcode", next_code), ("registers", next_registers), ("off", next_off)):
            if value:
                raise DecodeError(f"{name} of the second half of a 64-bit immediate load is {value:#x}, not 0")
        imm = next_imm << 32 | imm & 0xFFFFFFFF
    fields = {"dst": dst, "src": src, "off": off, "imm": imm}
    row = min(rows, key=lambda row: len(_faulty(row, fields)))
    if faulty := _faulty(row, fields):
        faults = (f"{name} is {fields[name]}, {_expected(row, name)}" for name in faulty)
        raise DecodeError(f"{row.name}: {'; '.join(faults)}")
    operands = {name: value for name, value in fields.items() if name not in row.fixed}
    return Instruction(row, **operands)


def _faulty(row: Opcode, fields: dict[str, int]) -> list[str]:
    """The names of the fields that keep these from being an instruction of this row."""
    return [
        name
        for name, value in fields.items()
        if (value != row.fixed[name] if name in row.fixed else not _operand_accepts(row, name, value))
    ]


def _expected(row: Opcode, name: str) -> str:
    """What field `name` may be in an instruction of this row or, where it tells rows apart, of its opcode."""
    if kind := row.kinds.get(name):
        if kind.form in ("R", "W"):
            return f"but registers end at {_TOP_REGISTER}"
        return f"not in the range {kind.low} to {kind.high}"
    if name == "imm" and "imm_high" in row.kinds:
        return "but an address space is not negative"
    others = (other for other in _BY_CODE[row.code] if not _is_operand(other, name))
    return f"not {' or '.join(map(str, sorted({other.fixed.get(name, 0) for other in others})))}"


def _is_operand(row: Opcode, name: str) -> bool:
    return any(field_name.startswith(name) for field_name in row.kinds)


def format_instruction(instruction: Instruction, dialect: Dialect, texts: dict[str, str] | None = None) -> str:
    """The instruction in `dialect`; it assembles to the same bytes.

    `texts` replaces operands by name, for a caller that knows a symbol: {"disp16": "loop"}.
    """
    replaced = texts or {}

    def text(match: re.Match[str]) -> str:
        name = match[1]
        return replaced[name] if name in replaced else _format_operand(instruction, name, dialect)

    return _PLACEHOLDER.sub(text, instruction.opcode.template(dialect))


def _format_operand(instruction: Instruction, name: str, dialect: Dialect) -> str:
    kind = OPERAND_KINDS[name]
    match kind.field:
        case "imm_high":
            value = instruction.imm >> 16
        case "imm_low":
            value = instruction.imm & 0xFFFF
        case field_name:
            value = getattr(instruction, field_name)
    match kind.form:
        case "R":
            return f"%r{value}" if dialect is Dialect.NORMAL else f"r{value}"
        case "W":
            return f"w{value}"
        case "P":
            return f"{value:+d}"
        case "O":
            if dialect is Dialect.NORMAL:
                return f"{value:+d}"
            return f" {'-' if value < 0 else '+'} {abs(value)}"
        case _:
            return f"{value:+d}" if kind.is_target else str(value)
