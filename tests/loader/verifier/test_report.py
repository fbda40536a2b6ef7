"""What is made of the verifier's logs: the instruction, its line, the registers, the way there."""

from __future__ import annotations

import pytest

from bpfas.loader.verifier.log import read_log
from bpfas.loader.verifier.report import report_on

LINUX_6_18 = """\
0: R1=ctx() R10=fp0
; if (threshold > 2) @ app.c:14
0: (b4) w0 = 1                        ; R0=1
1: (61) r2 = *(u32 *)(r1 +4)          ; R1=ctx() R2=pkt_end()
2: (61) r1 = *(u32 *)(r1 +0)          ; R1=pkt(r=0)
3: (bf) r3 = r1                       ; R1=pkt(r=0) R3=pkt(r=0)
4: (07) r3 += 1                       ; R3=pkt(off=1,r=0)
; if (data + 1 > end) @ app.c:15
5: (2d) if r3 > r2 goto pc+2          ; R2=pkt_end() R3=pkt(off=1,r=1)
6: (71) r0 = *(u8 *)(r1 +0)           ; R0=scalar(smin=0,smax=umax=255,var_off=(0x0; 0xff)) R1=pkt(r=1)
7: (95) exit

from 5 to 8: R0=1 R1=pkt(r=0) R2=pkt_end() R3=pkt(off=1,r=0) R10=fp0
; return data[3]; @ app.c:17
8: (71) r0 = *(u8 *)(r1 +3)
invalid access to packet, off=3 size=1, R1(id=0,off=3,r=0)
R1 offset is outside of the packet
processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
LINUX_7_3 = """\
0: R1=ctx() R10=fp0
0: (b7) r0 = 2                        ; R0=2
1: (61) r0 = *(u32 *)(r5 +0)
R5 !read_ok

Verification failed: Register Type Safety: Unreadable register

Reason:
  R5 has never been initialized on this path, so the verifier
  cannot use it as an input.

At:
  insn 1
        | ^-- error: R5 is not readable
  Instruction context:
      0 | (b7) r0 = 2
  >>> 1 | (61) r0 = *(u32 *)(r5 +0)
      2 | (95) exit

Causal path:
  no retained diagnostic events on this path

Suggestion:
  Initialize R5 on every path before this instruction.

processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
LINUX_5_4 = """\
0: R1=ctx(id=0,off=0,imm=0) R10=fp0
0: (b7) r2 = 0
1: R1_w=ctx(id=0,off=0,imm=0) R2_w=inv0 R10=fp0
1: (79) r0 = *(u64 *)(r2 +0)
R2 invalid mem access 'inv'
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
LINUX_4_9 = """\
0: (bf) r6 = r1
1: (85) call 200
invalid func 200
"""


def test_the_way_to_the_fault() -> None:
    log = read_log(LINUX_6_18)
    assert [step.index for step in log.path] == [0, 1, 2, 3, 4, 5, 8]
    assert log.branches == ((5, 8),)
    assert log.last is not None
    assert log.last.before["R3"] == "pkt(off=1,r=0)"


def test_all_lines_of_the_verdict_are_told() -> None:
    report = report_on(LINUX_6_18)
    assert "invalid access to packet, off=3 size=1" in report.explanation.cause
    assert "R1 offset is outside of the packet" in report.explanation.cause


def test_registers_are_those_that_the_instruction_uses() -> None:
    assert report_on(LINUX_6_18).registers == {"R0": "1", "R1": "pkt(r=0)"}
    assert report_on(LINUX_5_4).registers == {"R2": "inv0"}


def test_values_with_blanks_inside_parentheses_are_whole() -> None:
    log = LINUX_6_18.replace(
        "from 5 to 8: R0=1 R1=pkt(r=0)", "from 5 to 8: R0=scalar(var_off=(0x0; 0xff)) R1=ctx()"
    )
    assert report_on(log).registers == {"R0": "scalar(var_off=(0x0; 0xff))", "R1": "ctx()"}


@pytest.mark.parametrize(
    ("log", "instruction", "words"),
    [
        (LINUX_6_18, 8, "R1 offset is outside of the packet"),
        (LINUX_5_4, 1, "R2 invalid mem access 'inv'"),
        (LINUX_4_9, 1, "invalid func 200"),
        (LINUX_7_3, 1, "R5 !read_ok"),
    ],
)
def test_logs_of_many_kernels(log: str, instruction: int, words: str) -> None:
    report = report_on(log)
    assert (report.instruction, words in report.explanation.cause) == (instruction, True)


@pytest.mark.parametrize(
    "log", ["", "something new\nand more\n", "\x1b[31m0:(\n", "processed 0 insns\n", "R1=R1=(((\n"]
)
def test_an_unknown_log_is_no_problem(log: str) -> None:
    report = report_on(log)
    assert report.instruction is None
    assert report.lines() == []


def test_remedies_are_for_what_the_verifier_says_in_the_end() -> None:
    log = "; /* else: missing btf func_info */ @ a.c:3\n0: (b7) r0 = r9\nR9 !read_ok\n"
    assert "calls leave none" in report_on(log).explanation.remedy
    assert "compile with clang -g" not in report_on(log).explanation.remedy
    log = "0: (85) call bpf_loop#181\nmissing btf func_info\nprocessed 1 insns\n"
    assert "compile with clang -g" in report_on(log).explanation.remedy


def test_what_the_kernel_explains_is_kept_apart_from_its_verdict() -> None:
    report = report_on(LINUX_7_3)
    assert report.explanation.cause == "the verifier says: R5 !read_ok"
    reason = "R5 has never been initialized on this path, so the verifier cannot use it as an input."
    assert f"the kernel's reason: {reason}" in report.lines()


def test_the_kernel_s_suggestion_stands_where_no_remedy_is_known() -> None:
    assert "calls leave none" in report_on(LINUX_7_3).explanation.remedy
    unknown = LINUX_7_3.replace("R5 !read_ok", "something new")
    assert report_on(unknown).explanation.remedy == "Initialize R5 on every path before this instruction"
    wordless = LINUX_7_3.replace("R5 !read_ok\n", "")
    problem = "Register Type Safety: Unreadable register"
    assert report_on(wordless).explanation.cause == f"the verifier says: {problem}"


def test_of_an_unknown_log_the_last_line_is_told() -> None:
    assert "and more" in report_on("something new\nand more\n").explanation.cause


def test_a_long_way_is_cut_in_front() -> None:
    steps = "".join(f"{index}: (b7) r0 = {index}                        ; R0={index}\n" for index in range(40))
    way = report_on(f"{steps}40: (95) exit\nno\n").path
    assert way[0] == "… (25 lines before)"
    assert (len(way), way[-1]) == (17, "40: exit")


@pytest.mark.parametrize(
    ("verdict", "remedy"),
    [
        ("R0 invalid mem access 'map_value_or_null'", "NULL"),
        ("R2 invalid mem access 'trusted_ptr_or_null_'", "NULL"),
        ("invalid access to packet, off=0 size=14, R1(id=0,off=0,r=0)", "data_end"),
        ("invalid access to map value, value_size=4 off=40 size=1", "bound"),
        ("R3 min value is negative, either use unsigned or 'var &= const'", "bound"),
        ("R2 unbounded memory access, use 'var &= const' or 'if (var < const)'", "bound"),
        ("R0 !read_ok", "return value"),
        ("R3 !read_ok", "calls leave none"),
        ("Unreleased reference id=2 alloc_insn=5", "bpf_sk_release()"),
        ("infinite loop detected at insn 3", "bpf_for()"),
        ("BPF program is too large. Processed 1000001 insn", "global functions"),
        ("combined stack size of 2 calls is 544. Too large", "512 bytes"),
        ("invalid indirect read from stack R2 off -8+4 size 8", "padding"),
        ("R1 invalid mem access 'scalar'", "BPF_CORE_READ()"),
        ("R2 type=scalar expected=fp, pkt, pkt_meta, map_key", "the address of a variable"),
        ("R4 invalid zero-sized read: u64=[0,4294967295]", "length == 0"),
        ("invalid bpf_context access off=100 size=4", "no field at this offset"),
        ("BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region", "bpf_spin_unlock()"),
        ("BPF_EXIT instruction in main prog cannot be used inside bpf_rcu_read_lock-ed region", "rcu_read_unlock"),
        ("At program exit the register R0 has smin=7 smax=7 should have been in [0, 3]", "of the range"),
        ("unknown opcode 8d", "compile with -O2"),
        ("expected prog array map for tail call", "BPF_MAP_TYPE_PROG_ARRAY"),
        ("infinite loop detected at insn 2\ncur state: R10=fp0\nold state: R10=fp0", "bpf_for()"),
        ("reading from stack R2 off -16+0 size 8, slot poisoned by dead code elimination", "a global variable"),
        ("write into map forbidden, value_size=4 off=0 size=4", "read-only"),
    ],
)
def test_frequent_verdicts_have_a_remedy_of_their_own(verdict: str, remedy: str) -> None:
    log = f"0: (b7) r0 = 0                        ; R0_w=0\n1: (95) exit\n{verdict}\nprocessed 2 insns\n"
    assert remedy in report_on(log).explanation.remedy


def test_what_the_kernel_says_beside_the_verdict_is_not_told_twice() -> None:
    log = "0: (95) exit\nexpected prog array map for tail callprocessed 3 insns (limit 1000000) max_states 0\n"
    assert report_on(log).explanation.cause == "the verifier says: expected prog array map for tail call"
    log = "0: (95) exit\ninfinite loop detected at insn 2\ncur state: R10=fp0\nold state: R10=fp0\n"
    assert report_on(log).explanation.cause == "the verifier says: infinite loop detected at insn 2"
