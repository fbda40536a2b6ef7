"""Loader programs that are made to be signed, in the running kernel; signed ones where it verifies signatures.

Whatever was changed has to be refused, and the words have to say why.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.diag import BpfasError
from bpfas.loader import syscall
from bpfas.loader.errors import LoadError, errno_name
from bpfas.loader.gen.c.header import c_header
from bpfas.loader.gen.files.raw_file import read_raw, write_raw
from bpfas.loader.gen.loader_program import LICENSE, LoaderProgram, Scheme, Signature
from bpfas.loader.gen.python.module import python_module
from bpfas.loader.gen.running import runner
from bpfas.loader.gen.running.signed_loading import (
    exclusive_hash,
    explain_refusal,
    kernel_scheme,
    seal,
    with_signature,
)
from bpfas.loader.gen.signing.certificates import read_certificate
from bpfas.loader.gen.signing.keyring import KEYRINGS, in_keyring, keyring_id, keyring_words, trusted
from bpfas.loader.gen.signing.sign import sign
from bpfas.loader.kinds import MapType, ProgramFlag, ProgramType
from bpfas.loader.syscall import LogBuffer, ProgramLoad
from bpfas.loader.syscall.keys import describe_key
from tests.loader.gen.signing.support import loader_program, signer, with_flipped_bit
from tests.loader.kernel_support import RETURN_0, Requirement, needs, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.kernel

FIRST_KEY = bytes(4)
DONE = "0 at step 0"


def why_no_exclusive_maps() -> str:
    try:
        os.close(syscall.map_create("m", MapType.ARRAY, 4, 8, 1, exclusive_hash=bytes(32)))
    except OSError as error:
        return errno_name(error.errno or 0)
    return ""


def error_of_junk() -> int:
    """The number with which the kernel refuses a signature that is none."""
    load = ProgramLoad("p", ProgramType.SYSCALL, RETURN_0, LICENSE.encode(), flags=ProgramFlag.SLEEPABLE)
    with pytest.raises(OSError) as caught:
        syscall.prog_load(load._replace(signature=b"\0"))
    return caught.value.errno or 0


def why_no_verification() -> str:
    number = error_of_junk()
    return "" if number == errno.EBADMSG else errno_name(number)


def why_no_ecdsa() -> str:
    config = Path(f"/boot/config-{os.uname().release}")
    text = config.read_text() if config.exists() else ""
    return "" if "CONFIG_CRYPTO_ECDSA=y" in text else "no CONFIG_CRYPTO_ECDSA=y"


EXCLUSIVE_MAPS = Requirement("exclusive maps", why_no_exclusive_maps)
VERIFICATION = Requirement("verification of signatures", why_no_verification)
ECDSA = Requirement("keys of ECDSA", why_no_ecdsa)


def own_scheme() -> Scheme:
    """The scheme that the running kernel has; skips the test if it has none."""
    require(EXCLUSIVE_MAPS, VERIFICATION)
    found = kernel_scheme()
    assert found
    return found


def run(
    program: LoaderProgram,
    keyring: int | None = None,
    *,
    exclusive: bytes | None = None,
    finish: Callable[[LoaderProgram, int], None] = seal,
) -> str:
    """Load and run: what came of it, or in words why the kernel did not load it."""
    owner = exclusive_hash(program) if exclusive is None else exclusive
    map_fd = syscall.map_create("data", MapType.ARRAY, 4, len(program.data), 1, exclusive_hash=owner)
    try:
        syscall.map_update_elem(map_fd, FIRST_KEY, program.data)
        finish(program, map_fd)
        load = ProgramLoad(
            "loader",
            ProgramType.SYSCALL,
            program.instructions,
            LICENSE.encode(),
            flags=ProgramFlag.SLEEPABLE,
            fd_array=(map_fd,),
        )
        if keyring is not None:
            load = with_signature(load, program, keyring)
        log = LogBuffer(1 << 16)
        try:
            fd = syscall.prog_load(load, log)
        except OSError as error:
            explanation = explain_refusal(program, keyring, error.errno or 0, log.text)
            return f"{errno_name(error.errno or 0)}: {explanation.cause if explanation else log.text}"
        try:
            return outcome(program, fd)
        finally:
            os.close(fd)
    finally:
        os.close(map_fd)


def outcome(program: LoaderProgram, fd: int) -> str:
    layout = program.context
    context = layout.size.to_bytes(4, "little").ljust(layout.size, b"\0")
    result = syscall.prog_test_run(fd, b"", 0, context, 0, 0)

    def number(offset: int) -> int:
        return int.from_bytes(result.context[offset : offset + 4], "little")

    for offset in (*(each.offset for each in layout.maps), *(each.offset for each in layout.programs)):
        if number(offset):
            os.close(number(offset))
    return f"{ctypes.c_int32(result.retval).value} at step {number(layout.failed_step)}"


def with_changed_data(program: LoaderProgram) -> LoaderProgram:
    return program._replace(data=with_flipped_bit(program.data, -1))


def freeze_alone(_: LoaderProgram, map_fd: int) -> None:
    syscall.map_freeze(map_fd)


def leave_open(_: LoaderProgram, __: int) -> None:
    """Neither freeze the map nor have its hash computed."""


# Without a signature: the program's own check of its data.


@needs(EXCLUSIVE_MAPS)
@pytest.mark.parametrize("scheme", [Scheme.EARLY_HASH_IN_PROGRAM, Scheme.INSTRUCTIONS_AND_DATA])
def test_what_is_made_to_be_signed_runs_without_a_signature(scheme: Scheme) -> None:
    assert run(loader_program(scheme)) == DONE


@needs(EXCLUSIVE_MAPS)
def test_the_program_refuses_other_data_than_it_was_made_for() -> None:
    program = loader_program(Scheme.EARLY_HASH_IN_PROGRAM)
    refused = f"{-errno.EINVAL} at step 0"
    assert run(with_changed_data(program)) == refused
    assert run(program, finish=freeze_alone) == refused
    assert run(program, finish=leave_open) == refused


@needs(EXCLUSIVE_MAPS)
def test_the_program_refuses_a_map_that_others_may_use() -> None:
    program = loader_program(Scheme.HASH_IN_PROGRAM)
    whole = run(program)
    if whole != DONE:  # the verifier of kernels that hide the owner of a map
        assert "programs of this kernel cannot see whether a map belongs to one program alone" in whole
        return
    refused = f"{-errno.EINVAL} at step 0"
    assert run(program, exclusive=b"") == refused
    assert run(with_changed_data(program)) == refused
    assert run(program, finish=leave_open) == refused


@needs(EXCLUSIVE_MAPS)
def test_no_other_program_gets_at_the_data() -> None:
    program = loader_program(Scheme.INSTRUCTIONS_AND_DATA)
    said = run(program, exclusive=bytes(32))
    assert said.startswith("EACCES")
    assert "hash doesn't match" in said


@needs(EXCLUSIVE_MAPS)
def test_the_kernel_hashes_what_was_frozen() -> None:
    program = loader_program(Scheme.HASH_IN_PROGRAM)
    map_fd = syscall.map_create("data", MapType.ARRAY, 4, len(program.data), 1)
    try:
        with pytest.raises(OSError) as caught:
            syscall.map_hash(map_fd)
        assert caught.value.errno == errno.EPERM
        seal(program, map_fd)
        assert len(syscall.map_hash(map_fd)) == 32
        with pytest.raises(OSError):
            syscall.map_update_elem(map_fd, FIRST_KEY, program.data)
    finally:
        os.close(map_fd)


@needs(EXCLUSIVE_MAPS)
@pytest.mark.parametrize("scheme", [None, Scheme.INSTRUCTIONS_AND_DATA])
def test_no_other_map_takes_the_place_of_one_that_is_signed(scheme: Scheme | None) -> None:
    program = loader_program(scheme)
    (entry,) = program.context.maps
    other = syscall.map_create("other", MapType.ARRAY, 4, entry.spec.value_size, 1)
    try:
        context = bytearray(program.context.size)
        context[:4] = program.context.size.to_bytes(4, "little")
        context[entry.offset : entry.offset + 4] = other.to_bytes(4, "little")
        data_map = syscall.map_create(
            "data", MapType.ARRAY, 4, len(program.data), 1, exclusive_hash=exclusive_hash(program)
        )
        try:
            syscall.map_update_elem(data_map, FIRST_KEY, program.data)
            load = ProgramLoad(
                "p", ProgramType.SYSCALL, program.instructions, LICENSE.encode(), flags=ProgramFlag.SLEEPABLE
            )
            fd = syscall.prog_load(load._replace(fd_array=(data_map,)))
        finally:
            os.close(data_map)
        try:
            result = syscall.prog_test_run(fd, b"", 0, bytes(context), 0, 0)
        finally:
            os.close(fd)
        assert not result.retval
        given_back = int.from_bytes(result.context[entry.offset : entry.offset + 4], "little")
        (program_entry,) = program.context.programs
        os.close(int.from_bytes(result.context[program_entry.offset : program_entry.offset + 4], "little"))
        assert (given_back == other) == (scheme is None)
        if scheme:
            contents = syscall.map_lookup_elem(given_back, FIRST_KEY, entry.spec.value_size)
            os.close(given_back)
            assert contents == b"contents"
    finally:
        os.close(other)


# With a signature.


@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_what_the_right_key_has_signed_runs(kind: str, tmp_path: Path) -> None:
    scheme = own_scheme()
    if kind == "ECDSA":
        require(ECDSA)
    files = signer(tmp_path, kind)
    program = sign(loader_program(scheme), files.key, files.certificate)
    certificate = read_certificate(files.certificate)
    with trusted(certificate) as keyring:
        assert run(program, keyring) == DONE
    with in_keyring(certificate) as keyring:
        assert keyring == KEYRINGS["session"]
        assert run(program, keyring) == DONE


def test_an_expired_certificate_is_as_good_to_the_kernel(tmp_path: Path) -> None:
    files = signer(tmp_path, end=datetime(2021, 1, 1, tzinfo=UTC))
    program = sign(loader_program(own_scheme()), files.key, files.certificate)
    with trusted(read_certificate(files.certificate)) as keyring:
        assert run(program, keyring) == DONE


def test_whatever_was_changed_is_refused(tmp_path: Path) -> None:
    scheme = own_scheme()
    files = signer(tmp_path)
    program = sign(loader_program(scheme), files.key, files.certificate)
    assert program.signature
    signature = program.signature.data
    changed = "EKEYREJECTED: the signature is not one of this program"
    with trusted(read_certificate(files.certificate)) as keyring:
        instructions = with_flipped_bit(program.instructions, -12)
        assert changed in run(program._replace(instructions=instructions), keyring)
        damaged = Signature(scheme, with_flipped_bit(signature, -1))
        assert changed in run(program._replace(signature=damaged), keyring)
        cut_off = Signature(scheme, signature[:-1])
        assert "EBADMSG: the kernel cannot read the signature" in run(program._replace(signature=cut_off), keyring)
        in_data = run(with_changed_data(program), keyring)
        if scheme is Scheme.INSTRUCTIONS_AND_DATA:
            assert changed in in_data
            assert "must be frozen" in run(program, keyring, finish=leave_open)
            assert "must be exclusive" in run(program, keyring, exclusive=b"")
        else:
            assert in_data == f"{-errno.EINVAL} at step 0"
            assert run(program, keyring, finish=leave_open) == f"{-errno.EINVAL} at step 0"


def test_a_key_that_is_not_in_the_keyring(tmp_path: Path) -> None:
    files, other = signer(tmp_path), signer(tmp_path, number=1)
    program = sign(loader_program(own_scheme()), files.key, files.certificate)
    certificate = read_certificate(files.certificate)
    refused = "ENOKEY: the key that has signed the program is not in the keyring"
    with trusted(read_certificate(other.certificate)) as keyring:
        assert refused in run(program, keyring)
    with trusted(certificate) as keyring, trusted(certificate) as left:
        pass
    # The kernel takes a keyring away a little after it was made invalid.
    for gone in (keyring, left):
        assert run(program, gone).startswith((refused, "EINVAL: there is no keyring of this process"))
    with in_keyring(certificate):
        pass
    assert f"{refused} 'session'" in run(program, KEYRINGS["session"])
    assert f"{refused} 'builtin'" in run(program, KEYRINGS["builtin"])
    no_keyring = "EINVAL: there is no keyring of this process behind the keyring 2147483647"
    assert no_keyring in run(program, (1 << 31) - 1)


def test_a_program_for_other_kernels(tmp_path: Path) -> None:
    scheme = own_scheme()
    has_data = scheme is Scheme.INSTRUCTIONS_AND_DATA
    other = Scheme.EARLY_HASH_IN_PROGRAM if has_data else Scheme.INSTRUCTIONS_AND_DATA
    files = signer(tmp_path)
    program = sign(loader_program(other), files.key, files.certificate)
    with trusted(read_certificate(files.certificate)) as keyring:
        said = run(program, keyring)
    assert f"made for the scheme {other.value}, and this kernel has {scheme.value}" in said


def test_kernels_that_verify_no_signatures_say_so(tmp_path: Path) -> None:
    number = error_of_junk()
    if number not in {errno.E2BIG, errno.EOPNOTSUPP}:
        pytest.skip("this kernel verifies signatures")
    assert kernel_scheme() is None
    files = signer(tmp_path)
    program = sign(loader_program(Scheme.HASH_IN_PROGRAM), files.key, files.certificate)
    explanation = explain_refusal(program, KEYRINGS["session"], number)
    assert explanation
    said = {
        errno.E2BIG: "this kernel verifies no signatures of programs: it is older than Linux 6.18",
        errno.EOPNOTSUPP: "built without the verification of signatures (CONFIG_SYSTEM_DATA_VERIFICATION)",
    }
    assert said[number] in explanation.cause
    assert "run the program without a keyring" in explanation.remedy


# Keyrings.


def test_certificates_are_in_keyrings_for_a_while(tmp_path: Path) -> None:
    certificate = read_certificate(signer(tmp_path).certificate)
    with trusted(certificate) as keyring:
        assert keyring > 0
        assert "bpf-as" in keyring_words(keyring)
        assert certificate.key_identifier.hex()[-8:] in Path("/proc/keys").read_text()
    with pytest.raises(OSError):
        describe_key(keyring)
    with pytest.raises(KeyError), trusted(certificate) as keyring:
        raise KeyError
    with pytest.raises(OSError):
        describe_key(keyring)


@pytest.mark.parametrize("kind", ["Ed25519"])
def test_certificates_that_the_kernel_does_not_take(kind: str, tmp_path: Path) -> None:
    certificate = read_certificate(signer(tmp_path, kind).certificate)
    with (
        pytest.raises(BpfasError, match=r"ENOPKG.*cannot use keys or signatures of its kind"),
        trusted(certificate),
    ):
        pass
    with pytest.raises(BpfasError, match="the kernel fills it itself"), in_keyring(certificate, "builtin"):
        pass
    with pytest.raises(BpfasError, match="EBADMSG"), trusted(certificate._replace(der=b"\x30\x00")):
        pass


def test_words_for_keyrings() -> None:
    assert {word: keyring_id(word) for word in ("builtin", "secondary", "platform", "session", "user")} == {
        "builtin": 0,
        "secondary": 1,
        "platform": 2,
        "session": -3,
        "user": -4,
    }
    assert keyring_id("-3") == -3
    assert keyring_id("0x1f0f0000") == keyring_id(0x1F0F0000) == 0x1F0F0000
    for word in ("sesion", "", "-30", str(1 << 31), "1.5"):
        with pytest.raises(BpfasError, match="there is no keyring") as caught:
            keyring_id(word)
        assert "builtin, secondary, platform" in str(caught.value)


# By the runner.


def test_the_runner_loads_what_is_signed(tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = sign(loader_program(own_scheme()), files.key, files.certificate)
    program = read_raw(write_raw(program), "app.bpfl")
    with trusted(read_certificate(files.certificate)) as keyring, runner.run(program, keyring=keyring) as loaded:
        assert loaded.maps[".data"][0] == b"contents"
        assert list(loaded.programs) == ["prog"]
    with pytest.raises(LoadError) as caught:
        runner.run(program, keyring="builtin")
    assert caught.value.errno_name == "ENOKEY"
    assert "is not in the keyring 'builtin'" in str(caught.value)


@needs(EXCLUSIVE_MAPS)
def test_the_runner_leaves_the_signature_out_without_a_keyring(tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = sign(loader_program(Scheme.INSTRUCTIONS_AND_DATA), files.key, files.certificate)
    with runner.run(program) as loaded:
        assert loaded.maps[".data"][0] == b"contents"


@needs(EXCLUSIVE_MAPS)
def test_the_runner_says_that_the_data_was_changed() -> None:
    program = with_changed_data(loader_program(Scheme.EARLY_HASH_IN_PROGRAM))
    with pytest.raises(LoadError, match="the data is not that which the program was made for"):
        runner.run(program)


def test_the_runner_wants_a_signature_for_a_keyring() -> None:
    with pytest.raises(BpfasError, match="has no signature"):
        runner.run(loader_program(Scheme.INSTRUCTIONS_AND_DATA), keyring="session")


def test_the_runner_says_what_old_kernels_lack() -> None:
    if not why_no_exclusive_maps():
        pytest.skip("this kernel has exclusive maps")
    with pytest.raises(LoadError, match=r"older than Linux 6\.18") as caught:
        runner.run(loader_program(Scheme.INSTRUCTIONS_AND_DATA))
    assert "without --scheme" in caught.value.remedy


# By what is generated, without this project.


@pytest.fixture
def signed_for_session(tmp_path: Path) -> Iterator[LoaderProgram]:
    """A signed loader program whose certificate is in the session's keyring."""
    files = signer(tmp_path)
    program = sign(loader_program(own_scheme()), files.key, files.certificate)
    with in_keyring(read_certificate(files.certificate)):
        yield program


def damaged(program: LoaderProgram) -> LoaderProgram:
    assert program.signature
    return program._replace(
        signature=program.signature._replace(data=with_flipped_bit(program.signature.data, -1))
    )


def test_a_python_module_verifies(signed_for_session: LoaderProgram, tmp_path: Path) -> None:
    loads = "skeleton.loader.keyring = 'session'\nskeleton.load()\nprint(skeleton.progs.prog.fd > 0)\n"

    def said(program: LoaderProgram) -> str:
        module = tmp_path / "app_skel.py"
        module.write_text(python_module(program))
        script = f"import app_skel\nwith app_skel.open() as skeleton:\n{textwrap.indent(loads, '    ')}"
        # Without a cache, which would not see that the file is another one of the same size and second.
        command = [sys.executable, "-B", "-S", "-E", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert said(signed_for_session) == "True\n"
    assert "EKEYREJECTED: the signature is not one of these instructions and data" in said(
        damaged(signed_for_session)
    )


@pytest.mark.peer
def test_a_c_header_verifies(signed_for_session: LoaderProgram, tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if not compiler or not Path("/usr/include/bpf/skel_internal.h").exists():
        pytest.skip("no gcc, or no libbpf-dev")
    source = """\
    #include "app.h"
    #include <stdio.h>
    int main(void)
    {
        struct app *skel = app__open();
        skel->keyring_id = -3;
        int error = app__load(skel);
        printf("%d %d", error, skel->progs.prog.prog_fd > 0);
        app__destroy(skel);
        return 0;
    }
    """

    def said(program: LoaderProgram) -> str:
        (tmp_path / "app.h").write_text(c_header(program, "app"))
        (tmp_path / "main.c").write_text(source)
        subprocess.run([compiler, "main.c", "-o", "main", "-lbpf"], cwd=tmp_path, check=True)
        return subprocess.run([tmp_path / "main"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert said(signed_for_session) == "0 1"
    assert said(damaged(signed_for_session)) == f"{-errno.EKEYREJECTED} 0"
