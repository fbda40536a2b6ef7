"""Objects bound to libraries, to this kernel's functions and variables, and to a loaded program, for real."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.elf.writer import write_object
from bpfas.link.linker import link
from bpfas.link.options import LinkOptions, Unresolved
from bpfas.loader import LoadError, VerifierError, load
from bpfas.loader.cli import main
from bpfas.loader.kernel.type_files import VMLINUX_BTF
from bpfas.loader.kinds import ProgramType
from tests.loader.builders import code, data, function, insn, obj
from tests.loader.kernel_support import Need, kfunc, needs, what_is_wrong
from tests.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bpfas.objfile import ObjectFile

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]

PACKET = bytes(64)
ROOT = Path(__file__).parents[3]
KFUNCS = ("bpf_rcu_read_lock", "bpf_rcu_read_unlock")
PR_CAPBSET_DROP, CAP_SYSLOG = 24, 34

RCU_READ_LOCK = kfunc("bpf_rcu_read_lock")
needs_btf = pytest.mark.skipif(not VMLINUX_BTF.exists(), reason=f"the kernel has no {VMLINUX_BTF}")


def app(body: str, declarations: str = "", section: str = "xdp") -> ObjectFile:
    """An object whose program is `body`, under the GPL."""
    return assemble(
        f'.section {section},"ax"\n.globl prog\n.type prog,@function\nprog:\n{body}\nexit\n'
        f'.section license,"aw"\n.asciz "GPL"\n{declarations}\n',
        "app.o",
    )


LIBRARY = """\
.text
.globl next_number
.type next_number, @function
next_number:
    r1 = numbers ll
    r0 = *(u32 *)(r1 + 4)
    r0 += 1
    *(u32 *)(r1 + 4) = r0
    exit
.data
numbers: .long 0, 41
.section license,"aw"
.asciz "GPL"
"""


def test_a_function_of_a_library_runs_with_its_own_data() -> None:
    with load(app("call next_number"), [assemble(LIBRARY, "lib.o")]) as loaded:
        assert [loaded.programs["prog"].test_run(PACKET).retval for _ in range(2)] == [42, 43]
        assert loaded.maps["lib:.data"].raw[bytes(4)] == bytes(4) + (43).to_bytes(4, sys.byteorder)


@pytest.mark.peer
def test_objects_of_clang_are_bound_to_one_another(compile_c: Callable[..., str]) -> None:
    main_object = compile_c(
        """
        extern int add(int x);
        extern int total;
        extern int absent(int x) __attribute__((weak));
        extern int present(int x) __attribute__((weak));
        extern int absent_number __attribute__((weak));
        int base = 100;
        __attribute__((noinline)) int callback(int x) { return x + base; }
        SEC("xdp") int prog(struct xdp_md *ctx)
        {
            int result = add(5) + total;
            if (absent)
                result += absent(1);
            if (present)
                result += present(1000);
            if (&absent_number)
                result += absent_number;
            return result;
        }""",
        "-g",
    )
    library = compile_c(
        """
        extern int callback(int x);
        struct map_definition SEC("maps") calls = {
            .type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1
        };
        int total = 3;
        static int added;
        static __attribute__((noinline)) int count(void)
        {
            int key = 0;
            __u64 *value = bpf_map_lookup_elem(&calls, &key);
            return value ? ++*value : 0;
        }
        int add(int x) { count(); added += x; total += added; return callback(x); }
        int present(int x) { return x; }""",
        "-g",
        name="library",
    )
    with load(main_object, [library]) as loaded:
        assert list(loaded.maps) == [".data", "library:calls", "library:.data", "library:.bss"]
        results = [loaded.programs["prog"].test_run(PACKET).retval for _ in range(2)]
        assert results == [105 + (3 + 5) + 1000, 105 + (3 + 5 + 10) + 1000]
        assert loaded.maps["library:calls"][bytes(4)] == (2).to_bytes(8, sys.byteorder)


@needs(RCU_READ_LOCK)
@pytest.mark.peer
def test_what_a_link_leaves_open_is_bound_when_it_is_loaded(compile_c: Callable[..., str]) -> None:
    first = """
        extern int second(int x);
        extern int late(int x);
        extern void bpf_rcu_read_lock(void) __ksym;
        extern void bpf_rcu_read_unlock(void) __ksym;
        SEC("xdp") int prog(struct xdp_md *ctx)
        {
            bpf_rcu_read_lock();
            bpf_rcu_read_unlock();
            return second(1) + late(100);
        }"""
    second = "extern int late(int x); int second(int x) { return late(x) + 10; }"
    late = "int late(int x) { return x * 2; }"
    parts = [compile_c(text, "-g", name=name) for text, name in ((first, "first"), (second, "second"))]
    objects = [read_object(Path(part).read_bytes(), part) for part in parts]
    linked = link(objects, "linked.o", LinkOptions(unresolved=Unresolved.IGNORE))
    with pytest.raises(BpfasError, match="undefined symbol: late\n"):
        load(linked)
    with load(linked, [compile_c(late, "-g", name="late")]) as loaded:
        assert loaded.programs["prog"].test_run(PACKET).retval == 2 + 10 + 200


def test_the_command_binds_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.o").write_bytes(write_object(app("call next_number")))
    (tmp_path / "lib.o").write_bytes(write_object(assemble(LIBRARY, "lib.o")))
    arguments = [
        "run",
        str(tmp_path / "app.o"),
        "--with",
        str(tmp_path / "lib.o"),
        "--data-in",
        f"hex:{PACKET.hex()}",
    ]
    assert main(arguments) == 0
    assert "prog returned 42" in capsys.readouterr().out


def test_reaching_a_weak_function_that_is_missing_is_told_in_words() -> None:
    with pytest.raises(VerifierError) as caught:
        load(app("r1 = other ll; call gone", ".weak gone\n.weak other"))
    assert caught.value.cause == "the program calls 'gone', a weak function that nothing defines"
    assert "if (gone)" in caught.value.remedy
    with load(app("r0 = 4; r1 = gone ll; if r1 == 0 goto 1f; call gone; 1:", ".weak gone")) as loaded:
        assert loaded.programs["prog"].test_run(PACKET).retval == 4


@needs(RCU_READ_LOCK)
def test_hand_written_assembly_calls_kernel_functions() -> None:
    with load(app("call bpf_rcu_read_lock; call bpf_rcu_read_unlock; r0 = 5"), ksyms=KFUNCS) as loaded:
        assert loaded.programs["prog"].test_run(PACKET).retval == 5


@needs(Need.DYNPTRS_OF_PACKETS)
def test_a_kernel_function_fills_a_dynptr() -> None:
    body = """
        r6 = r1
        r2 = 0
        r3 = r10
        r3 += -16
        call bpf_dynptr_from_skb
        r1 = r10
        r1 += -16
        call bpf_dynptr_size
    """
    with load(app(body, section="tc"), ksyms=["bpf_dynptr_from_skb", "bpf_dynptr_size"]) as loaded:
        assert loaded.programs["prog"].test_run(PACKET).retval == len(PACKET)


KSYMS = """
struct task_struct;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern int bpf_dynptr_size___mine(const struct bpf_dynptr *ptr) __ksym __weak;
extern int bpf_no_such_function(int x) __ksym __weak;
extern const int no_such_variable __ksym __weak;
extern const void no_such_symbol __ksym __weak;
extern const void _stext __ksym;
SEC("syscall") int prog(void *ctx)
{
    int result = 0;
    bpf_rcu_read_lock();
    bpf_rcu_read_unlock();
    struct task_struct *task = bpf_task_from_pid(bpf_get_current_pid_tgid());
    if (task) {
        result |= 1;
        bpf_task_release(task);
    }
    if (bpf_no_such_function)
        result |= bpf_no_such_function(2);
    if (&no_such_variable || &no_such_symbol)
        result |= 4;
    if (&_stext)
        result |= 8;
    if (bpf_dynptr_size___mine)
        result |= 16;
    return result;
}
"""


@needs(RCU_READ_LOCK, kfunc("bpf_task_from_pid"))
@pytest.mark.peer
def test_externs_of_clang_are_found_in_the_kernel(compile_c: Callable[..., str]) -> None:
    with load(compile_c(KSYMS, "-g")) as loaded:
        assert loaded.programs["prog"].test_run(ctx=bytes(8)).retval == 1 | 8 | 16


@needs(RCU_READ_LOCK)
@pytest.mark.peer
def test_strong_externs_that_the_kernel_lacks_are_errors_in_words(compile_c: Callable[..., str]) -> None:
    path = compile_c(
        """
        extern void bpf_rcu_read_lok(void) __ksym;
        extern const int bpf_prog_activ __ksym;
        extern const void _no_such_text __ksym;
        SEC("xdp") int prog(struct xdp_md *ctx)
        {
            bpf_rcu_read_lok();
            return bpf_prog_activ + (int)(long)&_no_such_text;
        }""",
        "-g",
    )
    with pytest.raises(BpfasError) as caught:
        load(path)
    errors = str(caught.value)
    assert "the kernel has no function 'bpf_rcu_read_lok' in its BTF\n>>> did you mean bpf_rcu_" in errors
    assert "the kernel has no variable 'bpf_prog_activ' in its BTF\n>>> did you mean bpf_prog_active" in errors
    assert "the kernel has no symbol '_no_such_text' in /proc/kallsyms" in errors


@needs(RCU_READ_LOCK)
def test_what_the_verifier_says_of_kernel_functions_is_explained() -> None:
    with pytest.raises(VerifierError) as not_allowed:
        load(app("call tcp_v4_connect"), ksyms=["tcp_v4_connect"])
    assert "programs may call only some of the kernel's functions (kfuncs)" in not_allowed.value.remedy
    unlicensed = assemble('.section xdp,"ax"\nprog: call bpf_rcu_read_lock\nexit', "app.o")
    with pytest.raises(VerifierError) as proprietary:
        load(unlicensed, ksyms=["bpf_rcu_read_lock"])
    assert "section `license` that says GPL" in proprietary.value.remedy


@needs_btf
def test_a_variable_that_the_kernel_does_not_list_is_told_with_the_reason() -> None:
    if any(line.split()[2] == "bpf_prog_active" for line in Path("/proc/kallsyms").read_text().splitlines()):
        pytest.skip("this kernel lists its variables")
    with pytest.raises(VerifierError) as caught:
        load(app("r1 = bpf_prog_active ll; call 154; r0 = *(u32 *)(r0 + 0)"), ksyms=["bpf_prog_active"])
    assert "failed to find the address for kernel symbol 'bpf_prog_active'" in caught.value.log
    assert "CONFIG_KALLSYMS_ALL" in caught.value.remedy


def test_a_kernel_without_btf_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfas.loader.kernel.running.running_types", lambda: None)
    with pytest.raises(BpfasError) as caught:
        load(app("call bpf_rcu_read_lock"), ksyms=["bpf_rcu_read_lock"])
    assert "'bpf_rcu_read_lock' cannot be looked up: the kernel has no BTF" in str(caught.value)
    assert "CONFIG_DEBUG_INFO_BTF=y" in str(caught.value)
    load(app("r0 = 0; r1 = f ll", ".weak f"), ksyms=["f"]).close()


def test_addresses_are_hidden_from_who_lacks_the_capability() -> None:
    program = (
        "from bpfas.loader.loading.ksyms import *; from bpfas.loader.spec import *\n"
        "from bpfas.loader.kernel.running import RunningKernel\n"
        "from bpfas.diag import Diagnostics; from bpfas.elf.constants import ByteOrder\n"
        "externs = {'_stext': ExternSpec('_stext', ExternSource.KERNEL_ADDRESS)}\n"
        "diagnostics = Diagnostics()\n"
        "find_externs(Image('app', ByteOrder.LITTLE, externs=externs), RunningKernel(), diagnostics)\n"
        "diagnostics.raise_if_errors()"
    )
    paranoid = int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())
    restrict = int(Path("/proc/sys/kernel/kptr_restrict").read_text())
    if restrict == 0 and paranoid <= 1:
        pytest.skip("this kernel shows its addresses to everybody")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYSLOG),
    )
    assert "app: error: the address of '_stext' is hidden" in done.stderr
    assert "CAP_SYSLOG" in done.stderr


TARGET = """\
__attribute__((noinline)) int verdict(struct xdp_md *ctx) { volatile int result = 2; return result; }
SEC("xdp") int target(struct xdp_md *ctx) { return verdict(ctx); }
"""


@pytest.fixture
def pinned(compile_c: Callable[..., str]) -> Iterator[str]:
    """The path at which a program with the global function `verdict` is pinned."""
    path = Path("/sys/fs/bpf/bpfas_test_target")
    path.unlink(missing_ok=True)
    Peer.BPFTOOL.run("prog", "load", compile_c(TARGET, "-g", name="target"), path)
    yield str(path)
    path.unlink()


@pytest.mark.peer
def test_a_function_of_a_loaded_program_is_replaced_or_the_kernel_says_no(
    pinned: str, compile_c: Callable[..., str]
) -> None:
    replacement = compile_c('SEC("freplace/verdict") int better(struct xdp_md *ctx) { return 1; }', "-g")
    with pytest.raises(BpfasError) as no_target:
        load(replacement)
    assert "program 'better' replaces function 'verdict' of a loaded program\n>>> say of which" in str(
        no_target.value
    )
    if what_is_wrong(Need.TRAMPOLINES):
        with pytest.raises(LoadError) as refused:
            load(replacement, target=pinned)
        assert refused.value.errno_name == "EPERM"
        assert "refuses, before it verifies them, programs that replace functions" in refused.value.cause
    else:
        with load(replacement, target=pinned) as app:
            assert app.programs["better"].info().type == ProgramType.EXT
    other = compile_c('SEC("freplace/verdct") int better(struct xdp_md *ctx) { return 1; }', "-g", name="other")
    with pytest.raises(BpfasError) as no_function:
        load(other, target=pinned)
    assert "no function 'verdct', which program 'better' is to replace\n>>> did you mean 'verdict'?" in str(
        no_function.value
    )


@pytest.mark.peer
def test_a_target_that_cannot_be_used_is_an_error_in_words(tmp_path: Path) -> None:
    xdp = code("freplace/f", insn("mov_imm"), insn("exit"))
    replacement = obj(xdp, function("prog", xdp), data("license", b"GPL\0"))
    for target, words in (
        (999999999, "program 999999999: opening the program"),
        ("/nowhere/at/all", "there is no such program, or no such file"),
        (str(tmp_path), "no pinned program"),
    ):
        with pytest.raises(LoadError) as caught:
            load(replacement, target=target)
        assert words in str(caught.value)
    with pytest.raises(BpfasError, match="an id is a number from 1 to 4294967295"):
        load(replacement, target=1 << 32 | 1)
    with load(app("r0 = 0")) as loaded, pytest.raises(BpfasError) as no_btf:
        load(replacement, target=loaded.programs["prog"].info().id)
    assert "it has no BTF, so none of its functions can be replaced" in str(no_btf.value)
