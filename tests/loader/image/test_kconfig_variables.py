"""The map `.kconfig`: its variables by their declared types, and what programs refer to in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bpfas.btf.kinds import Kind, Linkage
from bpfas.diag import BpfasError
from bpfas.elf.constants import SymbolBinding
from bpfas.loader.image.build import build_image
from bpfas.loader.instructions import Code
from bpfas.loader.kinds import MapFlag
from bpfas.loader.spec import BindingKind, Image, KconfigKind, KconfigVariable, MapReference, ReferenceKind
from tests.btf.builders import Types
from tests.loader.builders import EXIT, LDDW, LOAD, code, data, function, image_errors, obj, relocate, undefined

if TYPE_CHECKING:
    from bpfas.objfile import Section, Symbol


def declared(types: Types, name: str, type_id: int) -> int:
    return types.var(name, type_id, Linkage.EXTERN)


def parts(types: Types, *names: str, load: bytes = LDDW, weak: tuple[str, ...] = ()) -> list[Section | Symbol]:
    """A program that loads the addresses of `names`, and the types that declare them."""
    xdp = code("xdp", load * len(names), EXIT)
    symbols = [undefined(name) for name in names]
    for index, symbol in enumerate(symbols):
        relocate(xdp, 16 * index, LOAD, symbol)
        if symbol.name in weak:
            symbol.st_bind = SymbolBinding.WEAK
    return [xdp, function("prog", xdp), *symbols, data(".BTF", types.data())]


def built(*given: Section | Symbol) -> Image:
    return build_image(obj(*given))


def everything() -> Types:
    types = Types()
    number, long = types.integer(), types.integer("u64", 8, encoding=0)
    char, truth = types.integer("char", 1), types.integer("_Bool", 1, encoding=4)
    tristate = types.enum("libbpf_tristate", [("TRI_NO", 0), ("TRI_YES", 1), ("TRI_MODULE", 2)])
    text = types.array(char, number, 5)
    named = [
        ("CONFIG_TEXT", types.refer(Kind.CONST, text)),
        ("CONFIG_TRUTH", truth),
        ("CONFIG_NUMBER", types.typedef("number", types.refer(Kind.VOLATILE, number))),
        ("CONFIG_CHAR", char),
        ("CONFIG_MAYBE", tristate),
        ("LINUX_KERNEL_VERSION", long),
    ]
    types.datasec(".kconfig", [(declared(types, name, type_id), 0, 0) for name, type_id in named])
    return types


def test_variables_are_laid_out_by_alignment_size_and_name() -> None:
    image = built(*parts(everything(), "CONFIG_NUMBER", "CONFIG_TRUTH", weak=("CONFIG_TRUTH",)))
    assert image.kconfig == (
        KconfigVariable("LINUX_KERNEL_VERSION", KconfigKind.INTEGER, 0, 8, False, True),
        KconfigVariable("CONFIG_MAYBE", KconfigKind.TRISTATE, 8, 4, False, True),
        KconfigVariable("CONFIG_NUMBER", KconfigKind.INTEGER, 12, 4, True, False),
        KconfigVariable("CONFIG_CHAR", KconfigKind.CHAR, 16, 1, True, True),
        KconfigVariable("CONFIG_TRUTH", KconfigKind.BOOL, 17, 1, False, True),
        KconfigVariable("CONFIG_TEXT", KconfigKind.STRING, 18, 5, False, True),
    )
    assert image.externs == {}
    assert [(binding.name, binding.kind) for binding in image.bindings] == [
        ("CONFIG_NUMBER", BindingKind.KERNEL),
        ("CONFIG_TRUTH", BindingKind.KERNEL),
    ]


def test_the_map_is_frozen_and_has_the_variables() -> None:
    spec = built(*parts(everything(), "CONFIG_NUMBER")).maps[".kconfig"]
    assert (spec.kernel_name, spec.value_size, spec.max_entries) == ("app.kconfig", 23, 1)
    assert spec.map_flags == MapFlag.RDONLY_PROG | MapFlag.MMAPABLE
    assert spec.frozen
    assert spec.contents is None
    assert [(each.name, each.offset, each.size) for each in spec.variables][2:4] == [
        ("CONFIG_NUMBER", 12, 4),
        ("CONFIG_CHAR", 16, 1),
    ]


def test_programs_refer_to_the_variables_in_the_map() -> None:
    program = built(*parts(everything(), "CONFIG_CHAR", "LINUX_KERNEL_VERSION")).programs["prog"]
    assert program.references == (
        MapReference(0, ".kconfig", ReferenceKind.MAP_VALUE, 16),
        MapReference(2, ".kconfig", ReferenceKind.MAP_VALUE, 0),
    )
    loaded = Code(program.instructions, obj().byte_order)
    assert (loaded.src(0), loaded.imm(1)) == (2, 16)


def test_a_place_inside_a_text_can_be_referred_to() -> None:
    third = LDDW[:4] + (3).to_bytes(4, "little") + LDDW[8:]
    program = built(*parts(everything(), "CONFIG_TEXT", load=third)).programs["prog"]
    assert program.references[0].offset == 18 + 3
    beyond = LDDW[:4] + (5).to_bytes(4, "little") + LDDW[8:]
    errors = image_errors(*parts(everything(), "CONFIG_TEXT", load=beyond))
    assert "'CONFIG_TEXT+0x5' is outside the variable, which has 5 bytes" in errors


@pytest.mark.parametrize("kind", ["pointer", "struct", "enum", "text of integers", "empty text", "int128"])
def test_what_holds_no_option_is_named(kind: str) -> None:
    types = Types()
    number, char = types.integer(), types.integer("char", 1)
    type_id = {
        "pointer": lambda: types.pointer(number),
        "struct": lambda: types.struct("s", 4, [("m", number, 0)]),
        "enum": lambda: types.enum("other", [("A", 0)]),
        "text of integers": lambda: types.array(number, number, 4),
        "empty text": lambda: types.array(char, number, 0),
        "int128": lambda: types.integer("__int128", 16),
    }[kind]()
    types.datasec(".kconfig", [(declared(types, "CONFIG_ODD", type_id), 0, 0)])
    errors = image_errors(*parts(types, "CONFIG_ODD"))
    assert "CONFIG_ODD" in errors
    assert "cannot hold an option of the kernel's configuration" in errors


def test_a_function_cannot_be_an_option() -> None:
    types = Types()
    types.datasec(".kconfig", [(types.func("CONFIG_F", types.prototype(0, []), Linkage.EXTERN), 0, 0)])
    errors = image_errors(*parts(types, "CONFIG_F"))
    assert "`extern void CONFIG_F(void)` cannot hold an option" in errors


def test_objects_that_declare_an_option_differently_are_told() -> None:
    first, second = Types(), Types()
    first.datasec(".kconfig", [(declared(first, "CONFIG_A", first.integer()), 0, 0)])
    second.datasec(".kconfig", [(declared(second, "CONFIG_A", second.integer("long", 8)), 0, 0)])
    main, text = obj(*parts(first, "CONFIG_A")), code(".text", LDDW, EXIT)
    main.sections[0].data = LDDW + bytes.fromhex("85100000ffffffff") + EXIT
    helper = undefined("helper")
    main.symbols.append(helper)
    relocate(main.sections[0], 16, 10, helper)
    name = undefined("CONFIG_A")
    relocate(text, 0, LOAD, name)
    library = obj(text, function("helper", text), name, data(".BTF", second.data()), name="lib.o")
    with pytest.raises(BpfasError) as caught:
        build_image(main, [library])
    assert "'CONFIG_A' is declared as `extern long CONFIG_A`, elsewhere otherwise" in str(caught.value)
    assert "app.o has `extern int CONFIG_A`" in str(caught.value)
