"""Sign a loader program with a private key, and verify that with a certificate; both need no kernel.

What is signed depends on the program's scheme: its instructions, which then compare the data with a hash
(`bpfas.loader.gen.emission.hash_check`), or its instructions followed by its data. The signature is
`bpfas.loader.gen.signing.cms`. What the kernel does with it is `bpfas.loader.gen.running.signed_loading`'s part.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError, Diagnostics
from bpfas.loader.gen.emission.hash_check import check_of
from bpfas.loader.gen.loader_program import Scheme, Signature
from bpfas.loader.gen.signing.certificates import Certificate, read_certificate
from bpfas.loader.gen.signing.cms import ALGORITHMS, Algorithm, SignedData, decode, encode
from bpfas.loader.gen.signing.der import DerError, element
from bpfas.loader.gen.signing.tools import signing_tool

if TYPE_CHECKING:
    import os

    from bpfas.loader.gen.loader_program import LoaderProgram
    from bpfas.loader.gen.signing.tools import SigningTool

LARGEST_SIGNATURE = 8192
"""Bytes of a signature that a kernel with pages of 4 KiB takes (KMALLOC_MAX_CACHE_SIZE)."""

LARGEST_SIGNED = (1 << 24) - 1
"""Bytes that a kernel verifies at once: what a dynptr holds."""

_MAKE_CERTIFICATE = "make one that has it: openssl req -x509 -addext subjectKeyIdentifier=hash …"


def signed_bytes(program: LoaderProgram) -> bytes:
    """What the signature of `program` is about. Raises BpfasError if it was not made to be signed."""
    return _signed_by(program, _scheme(program))


def _signed_by(program: LoaderProgram, scheme: Scheme) -> bytes:
    if scheme is Scheme.INSTRUCTIONS_AND_DATA:
        return program.instructions + program.data
    return program.instructions


def _scheme(program: LoaderProgram) -> Scheme:
    if program.scheme is None:
        raise BpfasError.of(
            "the loader program was not made to be signed: whoever runs it may change what it loads",
            program.name,
            (f"generate it with a scheme, one of {', '.join(each.value for each in Scheme)}",),
        )
    return program.scheme


def sign(
    program: LoaderProgram,
    key: str | os.PathLike[str],
    certificate: str | os.PathLike[str],
    *,
    password: bytes | None = None,
    tool: SigningTool | None = None,
) -> LoaderProgram:
    """`program` with the signature of the private key in the file `key`, which `password` decrypts.

    The file `certificate` has the certificate of that key. Files are PEM or DER. `tool` is what signs: the package
    `cryptography` if it is installed, else openssl. The same key gives the same signature, but for ECDSA by
    openssl and for ML-DSA. Raises BpfasError, before anything is signed if the two files do not belong together.
    """
    scheme, content = _scheme(program), signed_bytes(program)
    if len(content) > LARGEST_SIGNED:
        raise BpfasError.of(
            f"the loader program is too large to be signed: {len(content)} bytes, where the kernel takes "
            f"{LARGEST_SIGNED}",
            program.name,
            ("split the object into several",),
        )
    tool = tool or signing_tool()
    signer = read_certificate(certificate)
    private_key = tool.private_key(str(key), password)
    if private_key.public_key() != signer.public_key:
        raise BpfasError.of(
            f"the private key does not belong to the certificate {signer.path} ({signer.subject})",
            str(key),
            ("give the certificate that was made for this key",),
        )
    if not signer.key_identifier:
        message = "the certificate has no subject key identifier, by which the kernel finds it"
        raise BpfasError.of(message, signer.path, (_MAKE_CERTIFICATE,))
    algorithm = _algorithm(signer)
    signature = encode(
        algorithm, signer.key_identifier, content, lambda message: private_key.sign(message, algorithm)
    )
    if len(signature) > LARGEST_SIGNATURE:
        raise BpfasError.of(
            f"the signature has {len(signature)} bytes, and the kernel takes {LARGEST_SIGNATURE}",
            str(key),
            ("use a smaller key",),
        )
    return program._replace(signature=Signature(scheme, signature))


def _algorithm(certificate: Certificate) -> Algorithm:
    for algorithm in ALGORITHMS:
        if certificate.key_type == algorithm.key_type:
            return algorithm
    known = ", ".join(algorithm.name for algorithm in ALGORITHMS)
    raise BpfasError.of(
        "the certificate has a key of a kind that is not known here", certificate.path, (f"known are {known}",)
    )


def verify(
    program: LoaderProgram,
    certificate: str | os.PathLike[str],
    *,
    at: datetime | None = None,
    tool: SigningTool | None = None,
) -> None:
    """Raise BpfasError unless `program` is as the owner of the certificate in a file has signed it.

    Everything that is wrong is in the exception. `at` is the time at which the certificate has to be valid, now if
    it is None: the kernel does not look at that. Whether the certificate can be trusted is for the caller to know.
    """
    scheme, signer = _scheme(program), read_certificate(certificate)
    signature = program.signature
    if signature is None:
        raise BpfasError.of("the loader program is not signed", program.name)
    diagnostics = Diagnostics()
    _check_validity(signer, at or datetime.now(UTC), diagnostics)
    if signature.scheme is not scheme:
        diagnostics.error(
            f"the signature is by the scheme {signature.scheme.value}, the program made for {scheme.value}",
            program.name,
        )
    _check_signature(program, scheme, signature.data, signer, tool or signing_tool(), diagnostics)
    check = check_of(scheme, program.byte_order)
    if check and not program.instructions.startswith(check(program.data)):
        diagnostics.error(
            "the data is not what was signed: its SHA-256 is not the one in the instructions",
            program.name,
            ("it has been changed; take the program as it was signed",),
        )
    diagnostics.raise_if_errors()


def _check_validity(certificate: Certificate, at: datetime, diagnostics: Diagnostics) -> None:
    message = ""
    if at < certificate.not_before:
        message = f"is not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC"
    elif at > certificate.not_after:
        message = f"has expired: it was valid until {certificate.not_after:%Y-%m-%d %H:%M} UTC"
    if message:
        diagnostics.error(f"the certificate ({certificate.subject}) {message}", certificate.path)


def _check_signature(
    program: LoaderProgram,
    scheme: Scheme,
    data: bytes,
    signer: Certificate,
    tool: SigningTool,
    diagnostics: Diagnostics,
) -> None:
    try:
        signed = decode(data)
    except DerError as error:
        diagnostics.error(
            f"the signature is damaged, or not in the form that the kernel wants: {error}",
            program.name,
            ("it must be a detached CMS signature of one signer, in DER",),
        )
        return
    if signed.key_identifier and signed.key_identifier != signer.key_identifier:
        diagnostics.error(
            f"the loader program is signed by another key: the signature names {signed.key_identifier.hex(':')}, "
            f"the certificate ({signer.subject}) {signer.key_identifier.hex(':') or 'none'}",
            program.name,
            ("give the certificate of the key that has signed",),
        )
        return
    algorithm = _algorithm(signer)
    if signed.signature_type not in algorithm.signature_types(signed.digest):
        diagnostics.error(
            f"the signature is not by the algorithm of the certificate's key ({signer.subject}), {algorithm.name}",
            program.name,
            ("give the certificate of the key that has signed",),
        )
        return
    others = [
        each for each in (_signed_by(program, other) for other in Scheme) if each != _signed_by(program, scheme)
    ]
    if _is_valid(signed, _signed_by(program, scheme), signer, algorithm, tool):
        return
    if any(_is_valid(signed, other, signer, algorithm, tool) for other in others):
        diagnostics.error(
            f"the signature is right, but by another scheme than the program was made for ({scheme.value})",
            program.name,
            ("sign it again, by bpf-load gen sign",),
        )
        return
    what = "instructions" if scheme is not Scheme.INSTRUCTIONS_AND_DATA else "instructions or the data"
    if _is_intact(signed, signer, algorithm, tool):
        diagnostics.error(
            f"the {what} are not what was signed",
            program.name,
            (f"the signature itself is whole, and of the certificate's key ({signer.subject})",),
        )
    else:
        diagnostics.error(
            f"the signature is not one of these {what} by the certificate's key ({signer.subject})",
            program.name,
            ("the signature, or what was signed, has been changed; or another key has the same identifier",),
        )


def _is_valid(
    signed: SignedData, content: bytes, signer: Certificate, algorithm: Algorithm, tool: SigningTool
) -> bool:
    """Whether this is the signature of `content`."""
    if signed.attributes:
        if hashlib.new(signed.digest, content).digest() != signed.message_digest:
            return False
        content = signed.attributes
    algorithm = algorithm._replace(digest=signed.digest)
    return tool.is_signed_by(signer.public_key, signed.signature, content, algorithm)


def _is_intact(signed: SignedData, signer: Certificate, algorithm: Algorithm, tool: SigningTool) -> bool:
    """Whether the signature is one by the signer's key, whatever of; False where that cannot be told."""
    if signed.attributes:
        return tool.is_signed_by(
            signer.public_key, signed.signature, signed.attributes, algorithm._replace(digest=signed.digest)
        )
    return algorithm.name == "RSA" and _is_rsa_signature(signed, signer)


def _is_rsa_signature(signed: SignedData, signer: Certificate) -> bool:
    """Whether the padding comes out right that only the owner of the key can have made (RFC 8017 §9.2)."""
    bits = element(signer.public_key).children()[1].content
    try:
        modulus, exponent = (int.from_bytes(each.content, "big") for each in element(bits[1:]).children())
        padded = pow(int.from_bytes(signed.signature, "big"), exponent, modulus)
    except ValueError:
        return False
    size = (modulus.bit_length() + 7) // 8
    return padded.to_bytes(size, "big").startswith(b"\0\1" + 8 * b"\xff")
