"""Keys and certificates for tests, and small loader programs to be signed with them.

A kind of key is made once for all tests of a run. Certificates are valid from 2020 to 2120, unless said otherwise.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from bpfas.loader.gen import GenOptions, LoaderProgram, generate
from bpfas.loader.image.build import build_image
from tests.loader.builders import PASS, code, data, function, obj

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from bpfas.loader.gen.loader_program import Scheme

KINDS = ("RSA", "ECDSA", "Ed25519")
BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
PASSWORD = b"open sesame"


@dataclass(frozen=True, slots=True)
class Signer:
    """Files of a private key and its certificate."""

    key: Path
    certificate: Path


@functools.cache
def private_key(kind: str, number: int = 0) -> CertificateIssuerPrivateKeyTypes:
    """A key; another one for each number."""
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "ECDSA":
            return ec.derive_private_key(0xB9F + number, ec.SECP256R1())
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32)
        case _:
            return mldsa.MLDSA65PrivateKey.generate()


def signer(
    folder: Path,
    kind: str = "RSA",
    number: int = 0,
    *,
    encoding: Encoding = Encoding.PEM,
    password: bytes | None = None,
    begin: datetime = BEGIN,
    end: datetime = END,
    has_identifier: bool = True,
) -> Signer:
    """The files of a key, in `folder`."""
    key = private_key(kind, number)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{kind} {number}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1 + number)
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    if has_identifier:
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    digest = hashes.SHA256() if kind in {"RSA", "ECDSA"} else None
    certificate = builder.sign(key, digest, rsa_padding=padding.PKCS1v15() if kind == "RSA" else None)
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    files = Signer(folder / f"{kind}{number}.key", folder / f"{kind}{number}.crt")
    files.key.write_bytes(key.private_bytes(encoding, PrivateFormat.PKCS8, encryption))
    files.certificate.write_bytes(certificate.public_bytes(encoding))
    return files


def loader_program(scheme: Scheme | None) -> LoaderProgram:
    """A loader program of a map with contents and a program."""
    program = code("socket", PASS)
    image = build_image(obj(program, data(".data", b"contents"), function("prog", program, 0, len(PASS))))
    return generate(image, GenOptions(scheme=scheme))


def with_flipped_bit(contents: bytes, place: int) -> bytes:
    """`contents` with another byte at `place`."""
    changed = bytearray(contents)
    changed[place] ^= 1
    return bytes(changed)
