"""Types for kernels that do not know all kinds: what they lack is told as something that they know.

Ids, sizes and as far as possible names stay, so that whatever refers to a type goes on doing so. It is for the
kernel's copy alone; the Image keeps the types as they are. Source: libbpf 1.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.btf.edit import BtfEditor
from bpfas.btf.kinds import ENTRY_WORDS, HEADER_WORDS, Kind, Linkage, info_word
from bpfas.btf.reader import read_btf
from bpfas.btf.writer import write_btf
from bpfas.loader.kernel.features import Feature
from bpfas.objfile import NATIVE_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.btf.btf import Btf
    from bpfas.loader.kernel.kernel import Kernel

_BYTE_ENCODING = 8
"""The word of an INT: 8 bits, unsigned, from bit 0."""
_ENUM_SIZE = 4
_PLACEHOLDER = "enum64_placeholder"


def sanitize(data: bytes, kernel: Kernel) -> bytes:
    """The contents of `.BTF` as `kernel` takes them; `data` itself where it takes that.

    `data` is what `bpfas.loader.image.kernel_btf` gives, in this machine's byte order. Whether the kernel has any
    BTF is for the caller to ask.
    """
    lacking = [rewrite for feature, rewrite in _REWRITES.items() if not kernel.has(feature)]
    if not lacking:
        return data
    types = read_btf(data, NATIVE_ORDER, "the object")
    for rewrite in lacking:
        editor = BtfEditor(types)
        rewrite(types, editor)
        types = editor.finish()
    return write_btf(types.words, types.strings, types.order)


def _without_datasecs(types: Btf, editor: BtfEditor) -> None:
    """Sections become structs, and their variables, members of these, integers that fit wherever one lies."""
    for variable in types.ids_of_kind(Kind.VAR):
        _make_byte(variable, editor)
    for datasec in types.ids_of_kind(Kind.DATASEC):
        name = editor.string(types.name(datasec).replace(".", "_").replace("?", "_"))
        entries = types.entries(datasec)
        words = [name, info_word(Kind.STRUCT, len(entries)), types.size_or_type(datasec)]
        for entry in entries:
            words += (types.words[types.starts[entry.type_id]], entry.type_id, 8 * entry.offset)
        editor.replace(datasec, words)


def _without_question_marks(types: Btf, editor: BtfEditor) -> None:
    for datasec in types.ids_of_kind(Kind.DATASEC):
        name = types.name(datasec)
        if name.startswith("?"):
            editor.record(datasec)[0] = editor.string("_" + name[1:])


def _without_functions(types: Btf, editor: BtfEditor) -> None:
    """Prototypes become enumerations of their parameters' names, and functions typedefs of these."""
    for prototype in types.ids_of_kind(Kind.FUNC_PROTO):
        words = editor.record(prototype)
        words[1:HEADER_WORDS] = type(words)("I", (info_word(Kind.ENUM, types.vlen(prototype)), _ENUM_SIZE))
        for number, at in enumerate(range(HEADER_WORDS, len(words), ENTRY_WORDS[Kind.FUNC_PROTO])):
            words[at] = words[at] or editor.string(f"parameter{number}")
    for function in types.ids_of_kind(Kind.FUNC):
        editor.record(function)[1] = info_word(Kind.TYPEDEF)


def _without_global_functions(types: Btf, editor: BtfEditor) -> None:
    for function in types.ids_of_kind(Kind.FUNC):
        if types.linkage(function) is not Linkage.STATIC:
            editor.set_linkage(function, Linkage.STATIC)


def _without_floats(types: Btf, editor: BtfEditor) -> None:
    for number in types.ids_of_kind(Kind.FLOAT):
        editor.replace(number, (0, info_word(Kind.STRUCT), types.size_or_type(number)))


def _without_decl_tags(types: Btf, editor: BtfEditor) -> None:
    for tag in types.ids_of_kind(Kind.DECL_TAG):
        _make_byte(tag, editor)


def _without_type_tags(types: Btf, editor: BtfEditor) -> None:
    for tag in types.ids_of_kind(Kind.TYPE_TAG):
        editor.replace(tag, (0, info_word(Kind.CONST), types.size_or_type(tag)))


def _without_enum64(types: Btf, editor: BtfEditor) -> None:
    """Enumerations of 64 bits become unions with a member for each value; those of 32 bits have no sign."""
    wide = types.ids_of_kind(Kind.ENUM64)
    placeholder = editor.add_int(_PLACEHOLDER, 1) if wide else 0
    for enumeration in wide:
        words = editor.record(enumeration)
        words[1] = info_word(Kind.UNION, types.vlen(enumeration))
        for at in range(HEADER_WORDS, len(words), ENTRY_WORDS[Kind.ENUM64]):
            words[at + 1 : at + 3] = type(words)("I", (placeholder, 0))
    for enumeration in types.ids_of_kind(Kind.ENUM):
        if types.kflag(enumeration):
            editor.record(enumeration)[1] = info_word(Kind.ENUM, types.vlen(enumeration))


def _make_byte(type_id: int, editor: BtfEditor) -> None:
    """Make a VAR or DECL_TAG, which have a word behind the header as well, an integer of a byte."""
    words = editor.record(type_id)
    editor.replace(type_id, (words[0], info_word(Kind.INT), 1, _BYTE_ENCODING))


_REWRITES: dict[Feature, Callable[[Btf, BtfEditor], None]] = {
    # Tags and floats first: what they are of is gone afterwards.
    Feature.BTF_DECL_TAG: _without_decl_tags,
    Feature.BTF_TYPE_TAG: _without_type_tags,
    Feature.BTF_FLOAT: _without_floats,
    Feature.BTF_ENUM64: _without_enum64,
    Feature.BTF_QMARK_DATASEC: _without_question_marks,
    Feature.BTF_DATASEC: _without_datasecs,
    Feature.BTF_GLOBAL_FUNC: _without_global_functions,
    Feature.BTF_FUNC: _without_functions,
}
"""What is done for a kernel that lacks a feature, in this order."""
