"""Types changed in place: ids stay, whatever becomes longer or shorter."""

from __future__ import annotations

from bpfas.btf.edit import BtfEditor
from bpfas.btf.kinds import Kind, Linkage, info_word
from bpfas.btf.reader import read_btf
from bpfas.btf.writer import write_btf

from .builders import Types, listing


def sample() -> Types:
    types = Types()
    integer = types.integer()
    first, second = types.var("first", integer), types.var("second", integer, Linkage.EXTERN)
    types.datasec(".data", [(first, 0, 4), (second, 4, 4)], 8)
    types.pointer(integer)
    return types


def test_without_changes_the_types_are_those_given() -> None:
    btf = sample().read()
    assert BtfEditor(btf).finish() is btf


def test_what_is_around_a_change_stays() -> None:
    btf = sample().read()
    before = listing(btf)
    editor = BtfEditor(btf)
    editor.set_datasec(4, 4, [(2, 0, 4)])
    editor.set_linkage(3, Linkage.GLOBAL)
    editor.replace(1, (editor.string("longer"), info_word(Kind.STRUCT, 1), 8, editor.string("m"), 5, 0))
    added = editor.add_int("short", 2)
    editor.record(added)[2] = 1
    result = editor.finish()
    assert listing(result) == [
        "1 STRUCT longer 8 {m:5@0/0}",
        before[1],
        "3 VAR second 1 GLOBAL",
        "4 DATASEC .data 2@0+4",
        before[4],
        "6 INT short 1",
    ]
    assert listing(btf) == before


def test_what_was_changed_can_be_written_and_read() -> None:
    btf = sample().read()
    editor = BtfEditor(btf)
    editor.add_var("third", editor.add_pointer(1), Linkage.STATIC)
    result = editor.finish()
    again = read_btf(write_btf(result.words, result.strings, result.order), result.order, "again")
    assert listing(again) == listing(result)
