"""Signing and verifying loader programs without a kernel; openssl is the oracle of the form."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from bpfas.diag import BpfasError
from bpfas.elf.constants import ByteOrder
from bpfas.loader.gen.emission.hash_check import hash_check
from bpfas.loader.gen.loader_program import LoaderProgram, Scheme, Signature
from bpfas.loader.gen.signing import cms
from bpfas.loader.gen.signing.certificates import read_certificate
from bpfas.loader.gen.signing.der import OCTET_STRING, SEQUENCE, DerError, encoded, encoded_oid, encoded_set
from bpfas.loader.gen.signing.sign import sign, signed_bytes, verify
from bpfas.loader.gen.signing.tools import CryptographyPackage, OpensslCommand, SigningTool, signing_tool
from tests.loader.gen.signing.support import (
    BEGIN,
    END,
    KINDS,
    PASSWORD,
    Signer,
    loader_program,
    signer,
    with_flipped_bit,
)

if TYPE_CHECKING:
    from pathlib import Path

OPENSSL = "/usr/bin/openssl"
TOOLS = (CryptographyPackage(), OpensslCommand())
AT = datetime(2026, 6, 1, tzinfo=UTC)

both_tools = pytest.mark.parametrize("tool", TOOLS, ids=("cryptography", "openssl"))
every_scheme = pytest.mark.parametrize("scheme", Scheme)
every_kind = pytest.mark.parametrize("kind", KINDS)


def signed(scheme: Scheme, files: Signer, tool: SigningTool | None = None) -> LoaderProgram:
    return sign(loader_program(scheme), files.key, files.certificate, tool=tool)


def refusal(program: LoaderProgram, files: Signer, at: datetime = AT, tool: SigningTool | None = None) -> str:
    with pytest.raises(BpfasError) as caught:
        verify(program, files.certificate, at=at, tool=tool)
    return str(caught.value)


def signing_error(
    program: LoaderProgram, key: Path, certificate: Path, password: bytes | None = None, **tool: SigningTool
) -> str:
    with pytest.raises(BpfasError) as caught:
        sign(program, key, certificate, password=password, **tool)
    return str(caught.value)


def signature_of(program: LoaderProgram) -> bytes:
    assert program.signature
    return program.signature.data


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([OPENSSL, *map(str, arguments)], capture_output=True, check=False)


def openssl_signature(content: bytes, files: Signer, folder: Path, *options: str) -> bytes:
    """The signature as bpftool makes it, by openssl."""
    file = folder / "content"
    file.write_bytes(content)
    form = ("-binary", "-outform", "DER", "-nosmimecap", "-nocerts", "-keyid")
    who = ("-signer", files.certificate, "-inkey", files.key)
    done = openssl("cms", "-sign", "-in", file, *who, *form, *(options or ("-md", "sha256", "-noattr")))
    assert not done.returncode, done.stderr
    return done.stdout


# What is signed.


@every_scheme
@every_kind
@both_tools
def test_what_is_signed_verifies_with_either_tool(
    scheme: Scheme, kind: str, tool: SigningTool, tmp_path: Path
) -> None:
    files = signer(tmp_path, kind)
    program = signed(scheme, files, tool)
    assert program.signature
    assert program.signature.scheme is scheme
    for other in TOOLS:
        verify(program, files.certificate, at=AT, tool=other)


def test_instructions_are_signed_and_the_data_where_nothing_else_protects_it() -> None:
    for scheme in (Scheme.HASH_IN_PROGRAM, Scheme.EARLY_HASH_IN_PROGRAM):
        program = loader_program(scheme)
        assert signed_bytes(program) == program.instructions
    program = loader_program(Scheme.INSTRUCTIONS_AND_DATA)
    assert signed_bytes(program) == program.instructions + program.data


@pytest.mark.peer
@every_scheme
@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_openssl_takes_our_signatures(scheme: Scheme, kind: str, tmp_path: Path) -> None:
    files = signer(tmp_path, kind)
    program = signed(scheme, files)
    (tmp_path / "content").write_bytes(signed_bytes(program))
    (tmp_path / "signature").write_bytes(signature_of(program))
    done = openssl(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "signature"),
        *("-content", tmp_path / "content", "-certfile", files.certificate, "-nointern", "-noverify"),
        *("-out", tmp_path / "out"),
    )
    assert not done.returncode, done.stderr


@pytest.mark.peer
@both_tools
def test_rsa_signatures_are_those_that_openssl_makes(tool: SigningTool, tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = signed(Scheme.HASH_IN_PROGRAM, files, tool)
    assert signature_of(program) == openssl_signature(program.instructions, files, tmp_path)


@pytest.mark.peer
@both_tools
@pytest.mark.parametrize(
    "options",
    [("-md", "sha256", "-noattr"), ("-md", "sha512", "-noattr"), ("-md", "sha256"), ("-md", "sha384")],
    ids=" ".join,
)
@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_signatures_that_openssl_makes_verify(
    kind: str, options: tuple[str, ...], tool: SigningTool, tmp_path: Path
) -> None:
    files = signer(tmp_path, kind)
    program = loader_program(Scheme.INSTRUCTIONS_AND_DATA)
    made = openssl_signature(signed_bytes(program), files, tmp_path, *options)
    program = program._replace(signature=Signature(Scheme.INSTRUCTIONS_AND_DATA, made))
    verify(program, files.certificate, at=AT, tool=tool)
    changed = program._replace(data=with_flipped_bit(program.data, -1))
    assert "instructions or the data" in refusal(changed, files, tool=tool)


@every_kind
def test_signatures_are_the_same_every_time(kind: str, tmp_path: Path) -> None:
    files = signer(tmp_path, kind)
    first, second = (signature_of(signed(Scheme.HASH_IN_PROGRAM, files)) for _ in range(2))
    assert first == second


def test_ml_dsa(tmp_path: Path) -> None:
    files = signer(tmp_path, "ML-DSA")
    program = signed(Scheme.HASH_IN_PROGRAM, files)
    verify(program, files.certificate, at=AT)
    changed = program._replace(instructions=with_flipped_bit(program.instructions, -8))
    assert "the instructions are not what was signed" in refusal(changed, files)


def test_keys_of_several_forms(tmp_path: Path) -> None:
    program = loader_program(Scheme.HASH_IN_PROGRAM)
    results = set()
    for encoding in (Encoding.PEM, Encoding.DER):
        for password in (None, PASSWORD):
            files = signer(tmp_path, encoding=encoding, password=password)
            for tool in TOOLS:
                made = sign(program, files.key, files.certificate, password=password, tool=tool)
                results.add(signature_of(made))
    assert len(results) == 1


def test_the_password_of_a_key_that_has_none_does_not_matter(tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = loader_program(Scheme.HASH_IN_PROGRAM)
    for tool in TOOLS:
        assert sign(program, files.key, files.certificate, password=PASSWORD, tool=tool).signature


# What is refused.


@both_tools
@every_kind
def test_a_changed_byte_is_told_apart(kind: str, tool: SigningTool, tmp_path: Path) -> None:
    files = signer(tmp_path, kind)
    program = signed(Scheme.HASH_IN_PROGRAM, files, tool)
    instructions = program._replace(instructions=with_flipped_bit(program.instructions, -8))
    data = program._replace(data=with_flipped_bit(program.data, -1))
    said = refusal(instructions, files, tool=tool)
    assert ("instructions are not what was signed" in said) == (kind != "ECDSA")
    assert "the data is" not in said
    said = refusal(data, files, tool=tool)
    assert "the data is not what was signed" in said
    assert "instructions are" not in said


@both_tools
def test_a_changed_signature_is_told_from_changed_contents(tool: SigningTool, tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = signed(Scheme.INSTRUCTIONS_AND_DATA, files)
    whole = signature_of(program)

    def said(signature: bytes) -> str:
        changed = program._replace(signature=Signature(Scheme.INSTRUCTIONS_AND_DATA, signature))
        return refusal(changed, files, tool=tool)

    assert "the signature, or what was signed, has been changed" in said(with_flipped_bit(whole, -1))
    assert "damaged" in said(whole[:-1])
    assert "damaged" in said(whole + b"\0")
    assert "damaged" in said(with_flipped_bit(whole, 0))
    assert "damaged" in said(b"")
    changed = program._replace(data=with_flipped_bit(program.data, 0))
    assert "the signature itself is whole" in refusal(changed, files, tool=tool)


@every_kind
def test_no_changed_byte_of_a_signature_goes_unseen_or_ends_in_a_traceback(kind: str, tmp_path: Path) -> None:
    files = signer(tmp_path, kind)
    program = signed(Scheme.HASH_IN_PROGRAM, files)
    signature = signature_of(program)
    unseen = []
    for place in range(len(signature)):
        changed = Signature(Scheme.HASH_IN_PROGRAM, with_flipped_bit(signature, place))
        try:
            verify(program._replace(signature=changed), files.certificate, at=AT)
        except BpfasError:
            continue
        unseen.append(place)
    assert not unseen


def test_another_key(tmp_path: Path) -> None:
    program = signed(Scheme.HASH_IN_PROGRAM, signer(tmp_path))
    other = signer(tmp_path, number=1)
    said = refusal(program, other)
    assert "signed by another key" in said
    assert read_certificate(other.certificate).key_identifier.hex(":") in said


def test_the_time_of_a_certificate(tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = signed(Scheme.HASH_IN_PROGRAM, files)
    for at in (BEGIN, END):
        verify(program, files.certificate, at=at)
    assert "has expired: it was valid until 2120-01-01 00:00 UTC" in refusal(
        program, files, END + timedelta(seconds=1)
    )
    assert "is not valid before 2020-01-01" in refusal(program, files, BEGIN - timedelta(seconds=1))


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = signed(Scheme.HASH_IN_PROGRAM, files)
    changed = program._replace(
        instructions=with_flipped_bit(program.instructions, -8), data=with_flipped_bit(program.data, 0)
    )
    said = refusal(changed, files, END + timedelta(days=1))
    for words in ("expired", "the instructions are not", "the data is not"):
        assert words in said


def test_a_signature_by_another_scheme(tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = loader_program(Scheme.INSTRUCTIONS_AND_DATA)
    made = openssl_signature(program.instructions, files, tmp_path)
    said = refusal(program._replace(signature=Signature(Scheme.INSTRUCTIONS_AND_DATA, made)), files)
    assert "by another scheme than the program was made for (newer)" in said


def test_what_is_not_signed_does_not_verify(tmp_path: Path) -> None:
    files = signer(tmp_path)
    assert "is not signed" in refusal(loader_program(Scheme.HASH_IN_PROGRAM), files)
    assert "was not made to be signed" in refusal(loader_program(None), files)


def test_what_was_not_made_to_be_signed_is_not(tmp_path: Path) -> None:
    files = signer(tmp_path)
    said = signing_error(loader_program(None), files.key, files.certificate)
    assert "was not made to be signed" in said
    assert "6.18, 6.18-early, newer" in said


@both_tools
def test_a_key_and_another_certificate(tool: SigningTool, tmp_path: Path) -> None:
    said = signing_error(
        loader_program(Scheme.HASH_IN_PROGRAM),
        signer(tmp_path).key,
        signer(tmp_path, number=1).certificate,
        tool=tool,
    )
    assert "does not belong to the certificate" in said


def test_a_certificate_without_identifier(tmp_path: Path) -> None:
    files = signer(tmp_path, has_identifier=False)
    said = signing_error(loader_program(Scheme.HASH_IN_PROGRAM), files.key, files.certificate)
    assert "no subject key identifier" in said


@both_tools
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_passwords(encoding: Encoding, tool: SigningTool, tmp_path: Path) -> None:
    files = signer(tmp_path, encoding=encoding, password=PASSWORD)
    program = loader_program(Scheme.HASH_IN_PROGRAM)
    said = signing_error(program, files.key, files.certificate, b"wrong", tool=tool)
    assert "the password of the private key is wrong" in said
    said = signing_error(program, files.key, files.certificate, tool=tool)
    assert "private key" in said
    if encoding is Encoding.PEM:
        assert "encrypted, and no password was given" in said


@both_tools
def test_files_that_are_something_else(tool: SigningTool, tmp_path: Path) -> None:
    files = signer(tmp_path)
    program = loader_program(Scheme.HASH_IN_PROGRAM)
    assert "not a private key" in signing_error(program, files.certificate, files.certificate, tool=tool)
    assert "not a certificate" in signing_error(program, files.key, files.key, tool=tool)
    absent = tmp_path / "absent"
    assert "cannot be read: No such file" in signing_error(program, absent, files.certificate, tool=tool)
    assert "cannot be read: No such file" in signing_error(program, files.key, absent, tool=tool)
    for contents in (b"", b"\x30", b"\x30\x80", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        absent.write_bytes(contents)
        assert "not a certificate" in signing_error(program, files.key, absent, tool=tool)
        assert "not a private key" in signing_error(program, absent, files.certificate, tool=tool)


def test_a_damaged_certificate_is_refused_without_a_traceback(tmp_path: Path) -> None:
    files = signer(tmp_path, "ECDSA", encoding=Encoding.DER)
    program = signed(Scheme.HASH_IN_PROGRAM, files)
    whole = files.certificate.read_bytes()
    for place in range(len(whole)):
        for contents in (with_flipped_bit(whole, place), whole[:place]):
            files.certificate.write_bytes(contents)
            try:
                verify(program, files.certificate, at=AT)
            except BpfasError:
                continue


def test_a_program_that_is_too_large(tmp_path: Path) -> None:
    files = signer(tmp_path, "ECDSA")
    program = loader_program(Scheme.INSTRUCTIONS_AND_DATA)
    fits = (1 << 24) - 1 - len(program.instructions)
    assert sign(program._replace(data=bytes(fits)), files.key, files.certificate).signature
    said = signing_error(program._replace(data=bytes(fits + 1)), files.key, files.certificate)
    assert "too large to be signed: 16777216 bytes" in said


def test_package_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not have all kinds of keys is left alone."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name.endswith("mldsa") else name)
    assert isinstance(signing_tool(), OpensslCommand)


def attribute(kind: str, value: bytes) -> bytes:
    return encoded(SEQUENCE, encoded_oid(kind), encoded_set(value))


PLAIN_DATA = attribute("1.2.840.113549.1.9.3", encoded_oid("1.2.840.113549.1.7.1"))
OTHER_DATA = attribute("1.2.840.113549.1.9.3", encoded_oid("1.2.840.113549.1.7.2"))
DIGEST = attribute("1.2.840.113549.1.9.4", encoded(OCTET_STRING, bytes(64)))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ((DIGEST,), "without a digest, or without the type"),
        ((PLAIN_DATA,), "without a digest, or without the type"),
        ((OTHER_DATA, DIGEST), "of what is not plain data"),
        ((PLAIN_DATA, DIGEST, DIGEST), "the same signed attribute twice"),
    ],
)
def test_signed_attributes_that_the_kernel_refuses(
    attributes: tuple[bytes, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = next(each for each in cms.ALGORITHMS if each.is_pure)
    made = cms.encode(algorithm, b"key", b"", lambda _: b"signature")
    assert cms.decode(made).attributes
    monkeypatch.setattr(cms, "_attributes", lambda *_: encoded_set(*attributes))
    with pytest.raises(DerError, match=reason):
        cms.decode(cms.encode(algorithm, b"key", b"", lambda _: b"signature"))


def test_without_any_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    assert isinstance(signing_tool(), OpensslCommand)
    monkeypatch.setenv("PATH", str(tmp_path))
    files = signer(tmp_path)
    said = signing_error(loader_program(Scheme.HASH_IN_PROGRAM), files.key, files.certificate)
    assert "pip install bpf-as[sign]" in said


# The check of the data.


@pytest.mark.parametrize("order", ByteOrder)
def test_the_check_has_the_words_of_the_hash_as_the_machine_reads_them(order: ByteOrder) -> None:
    contents = b"contents"
    instructions = hash_check(contents, order)
    digest = hashlib.sha256(contents).digest()
    low_and_high = [
        instructions[start + 4 : start + 8] + instructions[start + 12 : start + 16]
        for start in range(0, len(instructions), 8)
        if instructions[start] == 0x18
    ][1:]
    # Little-endian machines read the low half of a word first.
    expected = digest
    if order is ByteOrder.BIG:
        expected = b"".join(digest[start + 4 : start + 8] + digest[start : start + 4] for start in range(0, 32, 8))
    assert b"".join(low_and_high) == expected


def test_the_check_is_of_whole_elements() -> None:
    assert hash_check(b"abc", ByteOrder.LITTLE) == hash_check(b"abc\0\0\0\0\0", ByteOrder.LITTLE)


@pytest.mark.parametrize("scheme", [Scheme.HASH_IN_PROGRAM, Scheme.EARLY_HASH_IN_PROGRAM])
def test_the_program_begins_with_the_check(scheme: Scheme) -> None:
    program = loader_program(scheme)
    check = hash_check(program.data, program.byte_order, has_owner=scheme is Scheme.HASH_IN_PROGRAM)
    assert program.instructions.startswith(check)
