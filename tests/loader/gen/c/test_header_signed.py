"""C headers of loader programs that are made to be signed, in the running kernel, where it verifies signatures."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import open_image
from bpfas.loader.gen import GenOptions, LoaderProgram, generate
from bpfas.loader.gen.c.header import c_header
from bpfas.loader.gen.loader_program import Scheme, Signature
from bpfas.loader.gen.signing.certificates import read_certificate
from bpfas.loader.gen.signing.keyring import in_keyring
from bpfas.loader.gen.signing.sign import sign
from tests.loader.gen.c.support import COMPILERS, check_compiles, executable, run_program
from tests.loader.gen.signing.support import signer, with_flipped_bit
from tests.loader.gen.signing.test_signed_loading import EXCLUSIVE_MAPS, own_scheme
from tests.loader.kernel_support import needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.kernel

SOURCE = """
int calls = 5;
SEC("socket") int filter(struct __sk_buff *skb) { return calls++; }
"""
PROGRAM = """
int main(int argc, char **argv) {
    int first = free_fd(), err;
    struct app *skel = app__open();
    if (argc != 2) return 1;
    skel->data->calls = 40;
    KEYRING;
    err = app__load(skel);
    SAY("load %d %s", err, app__failed_step(skel));
    if (!err) SAY("calls %d", skel->data->calls);
    app__destroy(skel);
    SAY("open %d", free_fd() - first);
    return 0;
}
"""
LOADED = ["load 0 ", "calls 5", "open 0"]
"""Without what was set before loading: nobody changes what is signed."""


def program_of(compile_c: Callable[..., str], scheme: Scheme) -> LoaderProgram:
    return generate(open_image(compile_c(SOURCE, "-g")), GenOptions(scheme=scheme))


def run_header(program: LoaderProgram, folder: Path, keyring: int = 0) -> list[str]:
    """What a program with the header prints."""
    use = "skel->keyring_id = atoi(argv[1])" if program.signature else "(void)argv"
    return run_program(executable(c_header(program, "app"), PROGRAM.replace("KEYRING", use), folder), str(keyring))


@needs(EXCLUSIVE_MAPS)
@pytest.mark.parametrize("scheme", [Scheme.EARLY_HASH_IN_PROGRAM, Scheme.INSTRUCTIONS_AND_DATA])
def test_without_a_signature(scheme: Scheme, compile_c: Callable[..., str], tmp_path: Path) -> None:
    assert run_header(program_of(compile_c, scheme), tmp_path) == LOADED


@needs(EXCLUSIVE_MAPS)
def test_data_that_was_changed(compile_c: Callable[..., str], tmp_path: Path) -> None:
    program = program_of(compile_c, Scheme.EARLY_HASH_IN_PROGRAM)
    changed = program._replace(data=with_flipped_bit(program.data, -1))
    assert run_header(changed, tmp_path) == ["load -22 failed to execute loader prog", "open 0"]


def test_with_the_key_that_has_signed_it(compile_c: Callable[..., str], tmp_path: Path) -> None:
    files, other = signer(tmp_path), signer(tmp_path, number=1)
    program = sign(program_of(compile_c, own_scheme()), files.key, files.certificate)
    with in_keyring(read_certificate(files.certificate)) as keyring:
        assert run_header(program, tmp_path, keyring) == LOADED
    with in_keyring(read_certificate(other.certificate)) as keyring:
        refused = f"load {-errno.ENOKEY} failed to load loader prog"
        assert run_header(program, tmp_path, keyring) == [refused, "open 0"]


def test_whatever_was_changed_is_refused(compile_c: Callable[..., str], tmp_path: Path) -> None:
    scheme = own_scheme()
    files = signer(tmp_path)
    program = sign(program_of(compile_c, scheme), files.key, files.certificate)
    assert program.signature
    rejected = [f"load {-errno.EKEYREJECTED} failed to load loader prog", "open 0"]
    is_data_signed = scheme is Scheme.INSTRUCTIONS_AND_DATA
    in_data = rejected if is_data_signed else ["load -22 failed to execute loader prog", "open 0"]
    signature = Signature(scheme, with_flipped_bit(program.signature.data, -1))
    with in_keyring(read_certificate(files.certificate)) as keyring:
        changed = program._replace(instructions=with_flipped_bit(program.instructions, -12))
        assert run_header(changed, tmp_path, keyring) == rejected
        assert run_header(program._replace(signature=signature), tmp_path, keyring) == rejected
        assert run_header(program._replace(data=with_flipped_bit(program.data, -1)), tmp_path, keyring) == in_data


@pytest.mark.peer
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compilers_take_it(compiler: str, compile_c: Callable[..., str], tmp_path: Path) -> None:
    program = program_of(compile_c, Scheme.INSTRUCTIONS_AND_DATA)
    signed = program._replace(signature=Signature(Scheme.INSTRUCTIONS_AND_DATA, bytes(range(256)) * 2))
    header = c_header(signed, "app")
    assert "__s32 keyring_id;" in header
    check_compiles(header, "", tmp_path, compiler)
