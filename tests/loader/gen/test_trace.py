"""The text of what a loader program does, for people and for programs."""

from __future__ import annotations

import json

from bpfas.loader.gen.script import (
    Address,
    Call,
    Cell,
    CellKind,
    Close,
    Fill,
    Find,
    Input,
    Item,
    Need,
    Owner,
    PatchCall,
    PatchLoad,
    Place,
    Require,
    Result,
    Script,
    UnlessGiven,
)
from bpfas.loader.gen.trace import step_words, trace_json, trace_text
from bpfas.loader.kinds import AttachType, MapFlag, MapType, ProgramFlag, ProgramType
from bpfas.loader.syscall import Command

MAP, PROGRAM, TOKEN = Cell("map counts"), Cell("program prog"), Input(88, 8)
CREATE = Call(
    "map counts",
    Command.MAP_CREATE,
    (
        ("map_type", MapType.RINGBUF),
        ("key_size", 0),
        ("max_entries", 4096),
        ("map_flags", MapFlag.NO_PREALLOC | MapFlag.MMAPABLE),
        ("map_name", b"counts"),
        ("btf_fd", Cell("BTF")),
        ("map_extra", 0),
        ("map_token_fd", TOKEN),
    ),
    MAP,
    (("max_entries", Input(28, 4)), ("map_extra", Input(96, 8))),
    (("map_flags", TOKEN, MapFlag.TOKEN_FD),),
    ("btf_fd",),
    "max_entries",
    4,
)
CODE = Item("instructions of prog", bytes(range(240)))
FIND = Find(
    "bpf_kfunc",
    (Place.FUNCTION, Place.ADDRESS),
    Cell("type of bpf_kfunc", CellKind.NUMBER),
    Cell("BTF of bpf_kfunc"),
    Cell("address of bpf_kfunc", CellKind.NUMBER),
    Owner.MODULE,
    "mod:bpf_kfunc",
)
LOAD = Call(
    "program prog",
    Command.PROG_LOAD,
    (
        ("prog_type", ProgramType.XDP),
        ("insn_cnt", 30),
        ("insns", Address(CODE)),
        ("license", Address(Item("license", b"GPL\0"))),
        ("prog_flags", ProgramFlag.SLEEPABLE),
        ("expected_attach_type", AttachType.XDP),
        ("fd_array", Address(None)),
        ("log_level", Input(8, 4)),
    ),
    PROGRAM,
)
SLOT = Call(
    "map jumps[2]",
    Command.MAP_UPDATE_ELEM,
    (("map_fd", MAP), ("key", Address(Item("key 2", b"\2\0\0\0"))), ("value", Address(PROGRAM))),
)
SCRIPT = Script(
    (Cell("BTF"), MAP, PROGRAM),
    (
        FIND,
        UnlessGiven(
            Input(24, 4),
            MAP,
            (
                Need("values of .kconfig", Input(32, 8)),
                CREATE,
                Fill("contents of counts", Item("contents of counts", b"\1"), Input(32, 8)),
            ),
        ),
        UnlessGiven(
            Input(40, 4),
            None,
            (
                Require("kernel function bpf_kfunc of program prog", FIND),
                PatchCall(CODE, (3,), FIND, 2002000000),
                LOAD,
            ),
        ),
        PatchLoad(CODE, tuple(range(10)), FIND),
        SLOT,
        Close(Cell("BTF")),
    ),
    (Result(MAP, 24), Result(PROGRAM, 40)),
)


def test_the_text_names_what_is_asked_for() -> None:
    assert (
        trace_text(SCRIPT)
        == """\
descriptors:
   0  BTF
   1  map counts
   2  program prog

   1  look bpf_kfunc up in the types (FUNC), then kallsyms
        must be of             a module
        must be in kallsyms    mod:bpf_kfunc
        -> type id             type of bpf_kfunc
        -> module's BTF        BTF of bpf_kfunc
        -> address             address of bpf_kfunc
   2  unless map counts is given at context+24:
     3  need to be given: values of .kconfig
          given                  context+32
     4  BPF_MAP_CREATE: map counts
          map_type               BPF_MAP_TYPE_RINGBUF
          max_entries            4096, unless context+28 has another, doubled up to 4 times while that gives EINVAL
          map_flags              BPF_F_NO_PREALLOC | BPF_F_MMAPABLE, with BPF_F_TOKEN_FD if context+88 is not 0
          map_name               "counts"
          btf_fd                 BTF, or 0 if that fails
          map_extra              0x0, unless context+96 has another
          map_token_fd           context+88
          -> descriptor          map counts
     5  take contents of counts from what is given, if it is
          address                context+32
          bytes                  1
   6  unless program prog is given at context+40:
     7  require kernel function bpf_kfunc of program prog
          found as               bpf_kfunc
     8  write what bpf_kfunc is into 1 call of instructions of prog
          instructions           3
          if there is none       call 2002000000
     9  BPF_PROG_LOAD: program prog
          prog_type              BPF_PROG_TYPE_XDP
          insn_cnt               30
          insns                  30 instructions (instructions of prog)
          license                4 bytes (license): 47 50 4c 00
          prog_flags             BPF_F_SLEEPABLE
          expected_attach_type   BPF_XDP
          fd_array               the table of descriptors
          log_level              context+8
          -> descriptor          program prog
  10  write what bpf_kfunc is into 10 loads of instructions of prog
        instructions           0, 1, 2, 3, 4, 5, 6, 7 and 2 more
  11  BPF_MAP_UPDATE_ELEM: map jumps[2]
        map_fd                 map counts
        key                    4 bytes (key 2): 02 00 00 00
        value                  the address of program prog
  12  close BTF
give back:
    map counts             at context+24
    program prog           at context+40"""
    )


def test_json_has_everything() -> None:
    data = trace_json(SCRIPT)
    assert json.loads(json.dumps(data)) == data
    find, given, _, _, slot, close = data["steps"]
    assert data["table"] == ["BTF", "map counts", "program prog"]
    assert data["results"] == [{"cell": "map counts", "offset": 24}, {"cell": "program prog", "offset": 40}]
    assert find["places"] == ["FUNC", "kallsyms"]
    assert (find["expected_owner"], find["symbol"]) == ("module", "mod:bpf_kfunc")
    assert [step["number"] for step in given["steps"]] == [3, 4, 5]
    create = given["steps"][1]
    assert create["attributes"]["map_flags"] == "BPF_F_NO_PREALLOC | BPF_F_MMAPABLE"
    assert create["attributes"]["key_size"] == 0
    assert create["overrides"]["max_entries"] == {"context": 28, "size": 4}
    assert create["flags_if"] == [
        {"attribute": "map_flags", "source": {"context": 88, "size": 8}, "flags": MapFlag.TOKEN_FD}
    ]
    assert create["doubled"] == {"attribute": "max_entries", "times": 4}
    load = data["steps"][2]["steps"][2]
    assert load["attributes"]["insns"]["address_of"]["data"] == CODE.data.hex()
    assert load["attributes"]["fd_array"] == {"address_of": "table"}
    assert slot["attributes"]["value"] == {"address_of": {"cell": "program prog"}}
    assert close == {"number": 12, "step": "close", "cell": "BTF"}


def test_numbers_that_have_no_name_stay_numbers() -> None:
    call = Call("map new", Command.MAP_CREATE, (("map_type", 999), ("map_flags", 1 << 30 | 1)))
    text = trace_text(Script((), (call,), ()))
    assert "map_type               999" in text
    assert "map_flags              BPF_F_NO_PREALLOC | 0x40000000" in text


def test_the_words_for_messages() -> None:
    assert step_words(CREATE) == "create map counts (BPF_MAP_CREATE)"
    assert step_words(LOAD) == "load program prog (BPF_PROG_LOAD)"
    assert step_words(SLOT) == "fill map jumps[2] (BPF_MAP_UPDATE_ELEM)"
    assert step_words(Call("map a", Command.MAP_FREEZE, ())) == "freeze map a (BPF_MAP_FREEZE)"
