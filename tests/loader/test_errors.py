"""What the exceptions of the load phase say."""

from __future__ import annotations

import errno

import pytest

from bpfas.loader.errors import ENOTSUPP, KernelError, LoadError, Step, VerifierError, errno_name, explain
from bpfas.loader.verifier.report import report_on

LOG = """\
0: R1=ctx() R10=fp0
0: (61) r0 = *(u32 *)(r2 +0)
R2 !read_ok
processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def refusal(number: int, log: str) -> VerifierError:
    return VerifierError("program prog", number, log, report_on(log))


def test_errno_has_its_name() -> None:
    assert [errno_name(number) for number in (errno.EPERM, ENOTSUPP, 9999)] == ["EPERM", "ENOTSUPP", "9999"]


def test_a_verifier_error_keeps_the_log() -> None:
    error = refusal(errno.EACCES, LOG)
    assert error.log == LOG
    assert (error.errno_name, error.step, error.subject) == ("EACCES", Step.LOAD_PROGRAM, "program prog")


def test_a_verifier_error_is_summed_up_by_the_verifiers_last_words() -> None:
    error = refusal(errno.EACCES, LOG)
    assert error.summary == (
        "program prog: loading the program failed with EACCES: the verifier says: R2 !read_ok"
    )


def test_a_verifier_error_shows_everything_as_text() -> None:
    text = str(refusal(errno.EACCES, LOG))
    assert text.startswith("error: program prog: loading the program failed with EACCES: ")
    assert ">>> remedy: " in text
    assert text.endswith(f">>> the kernel's log:\n{LOG.rstrip()}")


def test_a_log_of_statistics_alone() -> None:
    error = refusal(errno.EINVAL, "processed 0 insns\n")
    assert error.cause == "the verifier refused it"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("invalid func unknown#211", "bpf_cgrp_storage_delete came with Linux 6.2: use such a kernel"),
        ("invalid func 45", "bpf_probe_read_str came with Linux 4.11: use such a kernel"),
        ("invalid func unknown#-1", "no helper up to Linux 6.18 has the number -1"),
        ("invalid func unknown#212", "no helper up to Linux 6.18 has the number 212"),
        ("unknown func 69", "bpf_fib_lookup came with Linux 4.18, but this kernel"),
        ("unknown func bpf_fib_lookup#69", "bpf_fib_lookup came with Linux 4.18, but this kernel"),
        ("program of this type cannot use helper bpf_loop#181", "bpf_loop came with Linux 5.17, but this kernel"),
        ("program of this type cannot use helper bpf_unspec#0", "no helper up to Linux 6.18 has the number 0"),
    ],
)
def test_a_refused_helper_is_told_with_the_first_kernel_that_has_it(words: str, remedy: str) -> None:
    log = f"0: (85) call unknown\n{words}\nprocessed 1 insns\n"
    assert refusal(errno.EINVAL, log).remedy.startswith(remedy)


def test_a_helper_is_not_blamed_for_another_error() -> None:
    log = "; invalid func 45\n0: (85) call bpf_fib_lookup#69\nR1 type=ctx expected=map_ptr\n"
    assert "Linux" not in refusal(errno.EACCES, log).remedy


def test_an_error_without_a_remedy_shows_none() -> None:
    error = KernelError(Step.UPDATE, "map m", errno.E2BIG, explain(Step.UPDATE, errno.E2BIG))
    assert str(error) == (
        "error: map m: updating a key failed with E2BIG: the map is full, or the index is beyond its end"
    )


@pytest.mark.parametrize(
    ("step", "number", "cause"),
    [
        (Step.CREATE_MAP, errno.ENOSYS, "built without CONFIG_BPF_SYSCALL, or a seccomp filter"),
        (Step.CREATE_MAP, errno.EINVAL, "does not know the map type"),
        (Step.LOAD_PROGRAM, errno.E2BIG, "too large for the kernel"),
        (Step.LOAD_PROGRAM, errno.EMFILE, "too many open files"),
        (Step.LOAD_PROGRAM, errno.EXDEV, "Invalid cross-device link"),
        (Step.UPDATE, errno.EPERM, "frozen"),
    ],
)
def test_causes(step: Step, number: int, cause: str) -> None:
    assert cause in explain(step, number).cause


def test_load_errors_are_kernel_errors() -> None:
    assert issubclass(VerifierError, LoadError)
    assert issubclass(LoadError, KernelError)
