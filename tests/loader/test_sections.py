"""Section name to program type."""

from __future__ import annotations

import ctypes

import pytest

from bpfas.loader.kinds import (
    AttachType,
    ProgramFlag,
    ProgramType,
    map_flag_names,
    map_type_name,
    program_type_name,
)
from bpfas.loader.sections import (
    SECTION_KINDS,
    UNKNOWN_SECTION,
    section_kind,
    similar_sections,
    split_autoload,
)
from bpfas.section_names import is_subprogram_section

NAMES = [name for kind in SECTION_KINDS for name in kind.names.split()]


@pytest.mark.parametrize(
    ("section", "program_type", "attach_type"),
    [
        ("xdp", ProgramType.XDP, AttachType.XDP),
        ("xdp.frags/cpumap", ProgramType.XDP, AttachType.XDP_CPUMAP),
        ("kprobe", ProgramType.KPROBE, 0),
        ("kprobe/do_unlinkat", ProgramType.KPROBE, 0),
        ("tp/syscalls/sys_enter_open", ProgramType.TRACEPOINT, 0),
        ("cgroup/connect6", ProgramType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET6_CONNECT),
        ("tc/egress", ProgramType.SCHED_CLS, AttachType.TCX_EGRESS),
    ],
)
def test_a_section_stands_for_a_type(section: str, program_type: ProgramType, attach_type: int) -> None:
    kind = section_kind(section)
    assert (kind.program_type, kind.attach_type) == (program_type, attach_type)


@pytest.mark.parametrize("section", ["xdp/foo", "kprobes", "kprobe.", "", ".text", "XDP"])
def test_other_names_stand_for_nothing(section: str) -> None:
    assert section_kind(section) is UNKNOWN_SECTION


def test_numbers_that_the_tables_lack_are_shown() -> None:
    assert (program_type_name(6), program_type_name(999)) == ("xdp", "type 999")
    assert (map_type_name(1), map_type_name(999)) == ("hash", "type 999")
    assert map_flag_names(1 | 1 << 7 | 1 << 30) == ["no_prealloc", "rdonly_prog", "0x40000000"]


def test_no_row_hides_another() -> None:
    hidden = [
        name
        for kind in SECTION_KINDS
        for name in kind.names.split()
        if section_kind(name.removesuffix("+")) is not kind
    ]
    assert hidden == []


def test_sleepable_and_frags_become_flags() -> None:
    assert section_kind("lsm.s/file_open").program_flags == ProgramFlag.SLEEPABLE
    assert section_kind("xdp.frags").program_flags == ProgramFlag.XDP_HAS_FRAGS
    assert section_kind("xdp").program_flags == ProgramFlag(0)


def test_a_question_mark_turns_loading_off() -> None:
    assert split_autoload("?xdp") == ("xdp", False)
    assert split_autoload("xdp") == ("xdp", True)


def test_text_sections_hold_subprograms() -> None:
    assert is_subprogram_section(".text")
    assert is_subprogram_section(".text.unlikely")
    assert not is_subprogram_section(".texture")


def test_similar_names_are_found() -> None:
    assert similar_sections("xdp/foo")[0] == "xdp"
    assert "kprobe" in similar_sections("kprobee")
    assert similar_sections("zzzzzz") == []


@pytest.mark.peer
def test_libbpf_says_the_same_of_the_sections_that_it_knows() -> None:
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        pytest.skip("libbpf.so.1 is not installed")
    libbpf.libbpf_set_print(None)
    program_type, attach_type = ctypes.c_int(), ctypes.c_int()
    known = 0
    for name in NAMES:
        section = f"{name[:-1]}/foo" if name.endswith("+") else name
        found = (ctypes.byref(program_type), ctypes.byref(attach_type))
        if libbpf.libbpf_prog_type_by_name(section.encode(), *found) == 0:
            known += 1
            kind = section_kind(section)
            assert (kind.program_type, kind.attach_type) == (program_type.value, attach_type.value), name
    assert known >= len(NAMES) // 2
