"""The command `bpf-ld`: options, inputs, outputs, exit statuses."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.constants import ByteOrder, SymbolBinding, SymbolType
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.cli import main
from bpfas.link.option_table import KEYWORDS_WITHOUT_EFFECT, REFUSED_OPTIONS
from bpfas.objfile import Section, Symbol
from tests.link.builders import CALL, EXIT, call, code, extern, glob, obj, relocated, section_of
from tests.peers import Peer

if TYPE_CHECKING:
    from bpfas.objfile import ObjectFile


def user() -> ObjectFile:
    return obj("a.o", relocated(code("xdp", call(), EXIT), (0, CALL, extern("helper"))))


def helper() -> ObjectFile:
    text = code()
    return obj("b.o", text, glob("helper", text))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a.o, which uses what b.o defines."""
    monkeypatch.chdir(tmp_path)
    for made in (user(), helper()):
        Path(made.name).write_bytes(write_object(made))
    return tmp_path


def test_two_objects_become_one(here: Path) -> None:
    assert main(["a.o", "b.o", "-o", "app.o"]) == 0
    linked = read_object((here / "app.o").read_bytes(), "app.o")
    assert [section.name for section in linked.sections] == ["xdp", ".text"]


def test_the_output_is_called_a_out_by_default(here: Path) -> None:
    assert main(["a.o", "b.o"]) == 0
    assert (here / "a.out").exists()


def test_the_same_inputs_give_the_same_bytes(here: Path) -> None:
    main(["a.o", "b.o", "-o", "1.o"])
    main(["a.o", "b.o", "-o", "2.o"])
    assert (here / "1.o").read_bytes() == (here / "2.o").read_bytes()


def test_a_failed_link_leaves_the_output_as_it_was(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "app.o").write_text("before")
    assert main(["a.o", "-o", "app.o"]) == 1
    assert (here / "app.o").read_text() == "before"
    assert sorted(os.listdir(here)) == ["a.o", "app.o", "b.o"]
    assert capsys.readouterr().err.startswith(
        "bpf-ld: error: undefined symbol: helper\n>>> referenced by a.o:(xdp+0x0)\n>>> link the object"
    )


@pytest.mark.parametrize("option", [["-r"], ["--relocatable"], ["--unresolved-symbols=ignore-all"]])
def test_names_may_stay_undefined_when_asked_for(here: Path, option: list[str]) -> None:
    assert main([*option, "a.o"]) == 0
    assert (here / "a.out").exists()


@pytest.mark.parametrize("option", ["--no-undefined", "--unresolved-symbols=report-all"])
def test_undefined_names_are_errors_even_with_r_when_asked_for(here: Path, option: str) -> None:
    assert main(["-r", option, "a.o"]) == 1
    assert not (here / "a.out").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", [["-z", "muldefs"], ["-zmuldefs"], ["--allow-multiple-definition"]])
def test_the_first_of_two_definitions_is_taken_when_asked_for(option: list[str]) -> None:
    assert main(["b.o", "b.o"]) == 1
    assert main([*option, "b.o", "b.o"]) == 0


@pytest.mark.usefixtures("here")
def test_an_unknown_option_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.o", "b.o", "--frobnicate"]) == 1
    assert capsys.readouterr().err == "bpf-ld: error: unknown option --frobnicate; try --help\n"


def test_a_link_of_nothing_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert capsys.readouterr().err == "bpf-ld: error: no input files\n"


@pytest.mark.usefixtures("here")
def test_all_inputs_that_cannot_be_read_are_reported_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.o").write_text("exit\n")
    assert main(["missing.o", "text.o", "a.o", "gone.o"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "bpf-ld: error: cannot read missing.o: No such file or directory"
    assert lines[1].startswith("text.o: error: is not an ELF file")
    assert lines[2] == "bpf-ld: error: cannot read gone.o: No such file or directory"


@pytest.mark.usefixtures("here")
def test_an_output_that_cannot_be_written_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.o", "b.o", "-o", "no/such/dir.o"]) == 1
    assert "cannot write no/such/dir.o: No such file or directory" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("option", "other"), [("-EB", "little"), ("-EL", "big")])
def test_a_byte_order_that_was_asked_for_is_checked(
    option: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ByteOrder.LITTLE if other == "little" else ByteOrder.BIG
    Path("x.o").write_bytes(write_object(obj("x.o", code(), order=order)))
    assert main([option, "x.o"]) == 1
    assert capsys.readouterr().err == f"x.o: error: is {other}-endian, but {option} was given\n"
    assert main(["-EL" if order is ByteOrder.LITTLE else "-EB", "x.o"]) == 0


def test_standard_input_and_output(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bpfas.link", "-", here / "b.o", "-o", "-"],
        input=(here / "a.o").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert [section.name for section in read_object(done.stdout, "out").sections] == ["xdp", ".text"]


def test_standard_input_is_named_in_messages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"garbage")))
    assert main(["-"]) == 1
    assert capsys.readouterr().err.startswith("<stdin>: error: is not an ELF file")


def test_help_fits_a_screen_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert "bpf-ld main.o helpers.o -o app.o" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bpf-ld ")


def test_v_prints_the_version_and_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-v"]) == 0
    assert main(["-V", "a.o", "b.o"]) == 0
    assert capsys.readouterr().out.count("bpf-ld ") == 2
    assert (here / "a.out").exists()


def func(name: str, section: Section, value: int = 0) -> Symbol:
    return Symbol(name, section, value, 8, SymbolBinding.GLOBAL, SymbolType.FUNC)


def write(made: ObjectFile) -> None:
    Path(made.name).write_bytes(write_object(made))


def linked(path: str = "a.out") -> ObjectFile:
    return read_object(Path(path).read_bytes(), path)


def names(path: str = "a.out") -> set[str]:
    return {symbol.name for symbol in linked(path).symbols}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "option", [["-ox.o"], ["-o", "x.o"], ["--output=x.o"], ["--output", "x.o"], ["-o", "y.o", "-o", "x.o"]]
)
def test_an_argument_may_stand_behind_its_option_or_be_joined_to_it(option: list[str]) -> None:
    assert main(["a.o", "b.o", *option]) == 0
    assert Path("x.o").exists()


@pytest.mark.usefixtures("here")
def test_what_begins_with_o_and_one_dash_is_the_output() -> None:
    # As with GNU ld, where -oformat is the file `format`.
    assert main(["a.o", "b.o", "-output"]) == 0
    assert Path("utput").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", [["-rs"], ["-sr"], ["-r", "-s"], ["-relocatable", "-strip-all"]])
def test_short_options_may_be_joined_and_long_ones_have_one_dash(option: list[str]) -> None:
    text = code()
    write(obj("t.o", text, func("f", text), Symbol("unneeded", text)))
    assert main([*option, "t.o", "a.o"]) == 0
    assert {"f", "helper"} <= names()
    assert "unneeded" not in names()


METHODS = ("ignore-all", "report-all", "ignore-in-object-files", "ignore-in-shared-libs")


@pytest.mark.usefixtures("here")
def test_all_that_is_wrong_with_the_arguments_is_reported_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--undefned", "-shared", "--cref=x", "-O=x", "--unresolved-symbols=x", "a.o", "-u"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "bpf-ld: error: unknown option --undefned; did you mean --undefined?",
        f"bpf-ld: error: -shared is not supported: {REFUSED_OPTIONS['-shared']}",
        "bpf-ld: error: --cref=x: this option takes no argument",
        "bpf-ld: error: -O=x: the level of optimisation is a number; none has an effect",
        "bpf-ld: error: --unresolved-symbols=x: `x` is not one of " + ", ".join(METHODS),
        "bpf-ld: error: -u needs an argument (SYM); try --help",
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", sorted(REFUSED_OPTIONS))
def test_what_means_nothing_for_bpf_is_refused_with_the_reason(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "a.o", "b.o"]) == 1
    assert f"{name} is not supported: {REFUSED_OPTIONS[name]}" in capsys.readouterr().err
    assert not Path("a.out").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", ["-melf64bpf", "-Tscript", "-Ttext=0x100", "-G8", "--build-id=sha1"])
def test_refused_options_are_known_with_an_argument_too(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option, "a.o", "b.o"]) == 1
    assert "is not supported: " in capsys.readouterr().err


WITHOUT_EFFECT = [
    "-static",
    "-Bstatic",
    "-dn",
    "-non_shared",
    "-no-pie",
    "-nostdlib",
    "-d",
    "-dc",
    "-dp",
    "-O1",
    "-zrelro",
]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", [*WITHOUT_EFFECT, "--compress-debug-sections=none"])
def test_what_is_so_in_any_case_may_be_asked_for(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option, "a.o", "b.o"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("here")
def test_gnus_keywords_that_mean_nothing_for_bpf_have_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    options = [word for name in KEYWORDS_WITHOUT_EFFECT for word in ("-z", name)]
    assert main([*options, "-z", "stack-size=0", "a.o", "b.o"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["-z", "muldef", "-z", "frobnicate", "a.o", "b.o"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "bpf-ld: warning: -z muldef is no known keyword, and has no effect; did you mean muldefs?",
        "bpf-ld: warning: -z frobnicate is no known keyword, and has no effect",
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--localize=helpr", "no object defines such a name; did you mean helper?"),
        ("--export=api_*", "no object defines such a name"),
        ("--wrap=helpr", "no object that takes part has that name; did you mean helper?"),
        ("-y=helpr", "no object that takes part has that name; did you mean helper?"),
    ],
)
def test_a_name_that_nothing_has_is_likely_mistyped(
    option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    option, _, name = option.partition("=")
    assert main([option, name, "a.o", "b.o"]) == 0
    assert capsys.readouterr().err == f"bpf-ld: warning: {option} {name}: {message}\n"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "option", [["--localize=help*"], ["--export=helper"], ["--wrap=other"], ["-yhelper"], ["-y__real_other"]]
)
def test_of_a_name_that_something_has_there_is_no_warning(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = relocated(code(".text", call(), EXIT), (0, CALL, extern("__real_other")))
    write(obj("c.o", text, glob("f", text)))
    assert main(["-r", *option, "a.o", "b.o", "c.o"]) == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_an_object_and_a_map_do_not_go_to_the_same_stream() -> None:
    for option in ("-Map=-", "-M"):
        done = subprocess.run(
            [sys.executable, "-m", "bpfas.link", "a.o", "b.o", "-o", "-", option], capture_output=True, check=True
        )
        assert [section.name for section in read_object(done.stdout, "-").sections] == ["xdp", ".text"]
        assert b"helper" in done.stderr


@pytest.mark.usefixtures("here")
def test_only_gccs_own_plugin_is_let_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-plugin", "/usr/lib/liblto_plugin.so", "-plugin-opt=-fresolution=x", "a.o", "b.o"]) == 0
    assert main(["-plugin", "LLVMgold.so", "a.o", "b.o"]) == 1
    assert "plugins are not loaded" in capsys.readouterr().err
    assert main(["--compress-debug-sections=zlib", "a.o", "b.o"]) == 1
    assert "loaders of BPF cannot read compressed sections" in capsys.readouterr().err


# Undefined names


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "status", "word"),
    [
        ([], 1, "error"),
        (["-r"], 0, ""),
        (["-i"], 0, ""),
        (["--unresolved-symbols=ignore-all"], 0, ""),
        (["--unresolved-symbols=ignore-in-object-files"], 0, ""),
        (["--unresolved-symbols=ignore-in-shared-libs"], 1, "error"),
        (["--unresolved-symbols=report-all", "-r"], 1, "error"),
        (["-z", "undefs"], 0, ""),
        (["-r", "-z", "defs"], 1, "error"),
        (["-r", "--no-undefined"], 1, "error"),
        (["--warn-unresolved-symbols"], 0, "warning"),
        (["--warn-unresolved-symbols", "-r"], 0, ""),
        (["--warn-unresolved-symbols", "--error-unresolved-symbols"], 1, "error"),
        (["--warn-unresolved-symbols", "--fatal-warnings"], 1, "warning"),
        (["--fatal-warnings", "--warn-unresolved-symbols", "--no-fatal-warnings"], 0, "warning"),
    ],
)
def test_what_becomes_of_undefined_names(
    options: list[str], status: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "a.o"]) == status
    errors = capsys.readouterr().err
    assert (f"{word}: undefined symbol: helper" in errors) if word else not errors
    assert Path("a.out").exists() is (status == 0)


@pytest.mark.usefixtures("here")
def test_fatal_warnings_say_why_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--warn-unresolved-symbols", "--fatal-warnings", "a.o"])
    assert capsys.readouterr().err.endswith("bpf-ld: error: --fatal-warnings takes the warning for an error\n")


# What the link is told


@pytest.mark.usefixtures("here")
def test_an_entry_must_be_defined(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-e", "helper", "a.o", "b.o"]) == 0
    assert main(["-emain", "a.o", "b.o"]) == 1
    assert "main" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_symbols_are_defined_by_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--defsym", "size=0x10", "--defsym=other=helper+8", "-r", "b.o"]) == 0
    values = {symbol.name: symbol.st_value for symbol in linked().symbols}
    assert (values["size"], values["other"]) == (16, 8)
    assert main(["--defsym", "size", "b.o"]) == 1
    assert "--defsym size: a definition is written SYM=EXPR" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_wrap_leads_references_elsewhere() -> None:
    text = code()
    write(obj("wrapper.o", text, glob("__wrap_helper", text)))
    assert main(["--wrap=helper", "a.o", "wrapper.o"]) == 0
    assert "helper" not in names()


@pytest.mark.usefixtures("here")
def test_names_become_local_by_pattern() -> None:
    text = code(".text", EXIT, EXIT)
    write(obj("two.o", text, glob("api_f", text, 0, 8), glob("inner", text, 8, 8)))
    for options in (["--export=api_*"], ["--localize", "inn?r"], ["--localize", "inner", "--localize", "x"]):
        assert main([*options, "two.o"]) == 0
        bindings = {symbol.name: symbol.st_bind for symbol in linked().symbols}
        assert bindings["api_f"] is SymbolBinding.GLOBAL
        assert bindings["inner"] is SymbolBinding.LOCAL


@pytest.mark.usefixtures("here")
def test_a_file_lists_the_symbols_to_be_kept(capsys: pytest.CaptureFixture[str]) -> None:
    text = code()
    write(obj("two.o", text, glob("kept", text), glob("other", text)))
    Path("list").write_text("kept\nmissing\n")
    assert main(["--retain-symbols-file", "list", "two.o"]) == 0
    assert names() == {"kept"}
    assert main(["--retain-symbols-file=no/list", "two.o"]) == 1
    assert "cannot read no/list: No such file or directory" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("option", "kept"),
    [
        ("-x --discard-none", {"f", "local", ".Ltemporary"}),
        ("-X", {"f", "local"}),
        ("--discard-locals", {"f", "local"}),
        ("-x", {"f"}),
        ("--discard-all", {"f"}),
        ("-s", {"f"}),
    ],
)
def test_local_symbols_are_left_out(option: str, kept: set[str]) -> None:
    text = code("xdp")
    write(obj("s.o", text, func("f", text), Symbol("local", text), Symbol(".Ltemporary", text)))
    assert main([*option.split(), "s.o"]) == 0
    assert names() - {""} == kept


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", ["-S", "--strip-debug", "-s", "--strip-all"])
def test_debugging_sections_are_left_out(option: str) -> None:
    write(obj("d.o", code(), Section(".debug_str", data=b"x\0")))
    assert main([option, "d.o"]) == 0
    assert [section.name for section in linked().sections] == [".text"]


@pytest.mark.usefixtures("here")
def test_unused_functions_are_left_out_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    text = code(".text", EXIT, EXIT)
    write(obj("two.o", text, func("helper", text), func("unused", text, 8)))
    assert main(["--gc-sections", "--print-gc-sections", "a.o", "two.o"]) == 0
    assert "unused" not in names()
    assert "bpf-ld: left out unused of two.o:(.text+0x8)" in capsys.readouterr().err
    assert main(["--gc-sections", "--print-gc-sections", "--no-print-gc-sections", "a.o", "two.o"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["--gc-sections", "--print-gc-sections", "--no-gc-sections", "a.o", "two.o"]) == 0
    assert "unused" in names()
    assert main(["--gc-sections", "-u", "unused", "a.o", "two.o"]) == 0
    assert "unused" in names()


@pytest.mark.usefixtures("here")
def test_weak_functions_that_lost_are_kept_when_asked_for() -> None:
    text = code(".text", EXIT, EXIT)
    weak_helper = Symbol("helper", text, 0, 8, SymbolBinding.WEAK, SymbolType.FUNC)
    write(obj("weak.o", text, weak_helper, func("g", text, 8)))
    assert main(["a.o", "weak.o", "b.o"]) == 0
    assert section_of(linked(), ".text").sh_size == 16
    assert main(["--no-gc-weak", "a.o", "weak.o", "b.o"]) == 0
    assert section_of(linked(), ".text").sh_size == 24


# What is printed


@pytest.mark.usefixtures("here")
def test_files_are_traced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-t", "a.o", "b.o"]) == 0
    assert capsys.readouterr().out == "a.o\nb.o\n"
    assert main(["--trace", "missing.o", "b.o"]) == 1
    assert capsys.readouterr().out == "b.o\n"


@pytest.mark.usefixtures("here")
def test_a_symbol_is_traced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace-symbol=helper", "a.o", "b.o"]) == 0
    assert capsys.readouterr().err == ("bpf-ld: a.o: reference to helper\nbpf-ld: b.o: definition of helper\n")


@pytest.mark.usefixtures("here")
def test_texts_do_not_mix_with_an_object_on_standard_output() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bpfas.link", "-v", "-t", "--cref", "a.o", "b.o", "-o", "-"],
        capture_output=True,
        check=True,
    )
    assert read_object(done.stdout, "out").sections
    assert done.stderr.startswith(b"bpf-ld ")
    assert b"a.o\nb.o\n" in done.stderr
    assert b"Cross Reference Table" in done.stderr


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("option", "colored"),
    [([], False), (["--color-diagnostics=auto"], False), (["--color-diagnostics=never"], False)]
    + [([option], True) for option in ("--color-diagnostics", "--color-diagnostics=always")],
)
def test_messages_have_colors_when_asked_for(
    option: list[str], colored: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*option, "a.o"]) == 1
    word = "\33[1;31merror: \33[0m" if colored else "error: "
    assert capsys.readouterr().err.startswith(f"bpf-ld: {word}undefined symbol: helper\n")


@pytest.mark.usefixtures("here")
def test_a_wrong_color_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--color-diagnostics=red", "a.o"]) == 1
    assert "`red` is not one of auto, always, never" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_messages_are_json_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "a.o"]) == 1
    message = json.loads(capsys.readouterr().err)
    assert (message["message"], message["notes"][:-1]) == (
        "undefined symbol: helper",
        ["referenced by a.o:(xdp+0x0)"],
    )


# Inputs and outputs


@pytest.mark.usefixtures("here")
def test_arguments_come_from_a_file() -> None:
    Path("arguments").write_text("a.o\nb.o -o 'an app.o'")
    assert main(["@arguments"]) == 0
    assert Path("an app.o").exists()


@pytest.mark.usefixtures("here")
def test_an_object_that_is_given_twice_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.o", "./a.o", "b.o"]) == 1
    assert capsys.readouterr().err == "bpf-ld: error: ./a.o is given twice, first as a.o; leave one out\n"


@pytest.mark.usefixtures("here")
def test_standard_input_can_be_given_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("b.o").read_bytes())))
    assert main(["-z", "muldefs", "-", "-"]) == 1
    assert capsys.readouterr().err == "bpf-ld: error: - is given twice; leave one out\n"


@pytest.mark.usefixtures("here")
def test_an_output_does_not_overwrite_an_input(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("a.o").read_bytes()
    Path("names").write_text("f\n")
    for options in (["-o", "a.o"], ["-Map=./a.o"], ["--retain-symbols-file=names", "-o", "names"]):
        assert main(["a.o", "b.o", *options]) == 1
        assert "is also an input; it would be overwritten" in capsys.readouterr().err
    assert main(["a.o", "b.o", "-o", "x.o", "-Map=x.o"]) == 1
    assert "is the file of two outputs" in capsys.readouterr().err
    assert Path("a.o").read_bytes() == before
    assert not Path("x.o").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("path", "contents", "message"),
    [
        ("x.c", b"int x;\n", "is C; compile it first"),
        ("x.s", b"exit\n", "is assembly; assemble it first: bpf-as"),
        ("x.ll", b"target\n", "is LLVM's language; compile it first"),
        (
            "x.lds",
            b"/* GNU ld script */\nINPUT ( a.o )\n",
            "is a linker script; objects for BPF have no addresses",
        ),
        ("x.bc", b"BC\xc0\xde....", "is LLVM bitcode; compile it without -flto or -emit-llvm"),
        ("x.gz", b"\x1f\x8b\x08\0", "is compressed by gzip; uncompress it first: gunzip"),
        ("vmlinux", b"\x9f\xeb\1\0" + bytes(20), "is types alone (raw BTF), as the kernel gives of itself"),
        ("x.o", b"", "is empty, not an ELF file"),
        ("x.o", b"\x7fELF\2\1\1" + bytes(57), "is not a relocatable object"),
    ],
)
def test_a_file_that_is_no_object_is_named_for_what_it_is(
    path: str, contents: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(path).write_bytes(contents)
    assert main(["a.o", path]) == 1
    assert capsys.readouterr().err.startswith(f"{path}: error: {message}")


@pytest.mark.usefixtures("here")
def test_a_directory_is_no_input(capsys: pytest.CaptureFixture[str]) -> None:
    Path("lib").mkdir()
    assert main(["a.o", "lib"]) == 1
    assert "lib is a directory; name the files in it, or with -L let -l look there" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_both_objects_are_named_if_their_byte_orders_differ(capsys: pytest.CaptureFixture[str]) -> None:
    write(obj("big.o", code(), order=ByteOrder.BIG))
    assert main(["a.o", "big.o", "-r"]) == 1
    assert capsys.readouterr().err.startswith("big.o: error: is big-endian, but a.o is little-endian")


@pytest.mark.usefixtures("here")
def test_names_of_files_may_be_any_bytes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    name = os.fsdecode(b"\xff.o")
    Path("b.o").rename(name)
    assert main(["-t", "--cref", "a.o", name, "-Map=map"]) == 0
    assert capfdbinary.readouterr().out == b"a.o\n\xff.o\n"
    assert b"\xff.o" in Path("map").read_bytes()


# With compilers


@pytest.mark.peer
def test_gcc_links_with_this_linker(here: Path) -> None:
    Path("main.c").write_text('int f(void); __attribute__((section("xdp"))) int prog(void) { return f(); }\n')
    Path("f.c").write_text("int f(void) { return 1; }\n")
    linker = here / "bin" / "ld"
    linker.parent.mkdir()
    linker.write_text(f'#!/bin/sh\nexec {sys.executable} -m bpfas.link "$@"\n')
    linker.chmod(0o755)
    for options in ([], ["-nostdlib"], ["-nostdlib", "-r", "-s"], ["-fno-lto", "-Wl,-Map=x.map", "-z", "defs"]):
        Peer.GCC.run(f"-B{linker.parent}", "-O2", *options, "main.c", "f.c", "-o", "x.o")
        assert {"prog", "f"} <= names("x.o")
    assert "Programs" in Path("x.map").read_text()


@pytest.mark.peer
@pytest.mark.usefixtures("here")
def test_objects_of_gccs_link_time_optimisation_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("f.c").write_text("int f(void) { return 1; }\n")
    Peer.GCC.run("-c", "-flto", "f.c")
    assert main(["f.o"]) == 1
    assert capsys.readouterr().err.startswith("f.o: error: is an object for GCC's link-time optimisation")
    Peer.GCC.run("-c", "-flto", "-ffat-lto-objects", "f.c")
    assert main(["f.o"]) == 0


@pytest.mark.peer
@pytest.mark.usefixtures("here")
def test_objects_for_other_machines_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("f.c").write_text("int f(void) { return 1; }\n")
    Peer.CLANG.run("--target=x86_64", "-c", "f.c")
    assert main(["f.o"]) == 1
    assert "f.o: error: is for another machine" in capsys.readouterr().err


def test_sections_without_a_name_are_errors(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nameless = [Section("", data=b"12345678"), Section("named", data=b"1"), Section("", sh_type=8, nobits_size=3)]
    Path("c.o").write_bytes(write_object(obj("c.o", *nameless)))
    assert main(["a.o", "b.o", "c.o", "-o", "app.o"]) == 1
    told = capsys.readouterr().err
    assert "c.o: error: section 1 (type 1, 8 bytes at 0x40) has no name; " in told
    assert "c.o: error: section 3 (type 8, 3 bytes at 0x" in told
    assert not (here / "app.o").exists()
