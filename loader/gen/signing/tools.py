"""Bare signatures of messages, made and verified by the `cryptography` package, or by the command openssl.

Both do the same, and RSA signatures of both are the same bytes. The form around a signature is
`bpfas.loader.gen.signing.cms`.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from bpfas.loader.gen.signing.cms import Algorithm

_NEWEST_MODULE = "cryptography.hazmat.primitives.asymmetric.mldsa"
_PEM = b"-----BEGIN "
_SECONDS = 60
_FORMS = "give a private key of the kinds RSA, ECDSA, Ed25519 or ML-DSA, in the form of PEM or DER"
_WRONG_PASSWORD = "the password of the private key is wrong"  # noqa: S105
_NO_PASSWORD = "the private key is encrypted, and no password was given"  # noqa: S105
_GIVE_PASSWORD = "put it into a file or a variable of the environment, and name that"  # noqa: S105


class PrivateKey(Protocol):
    """A private key that was read from a file."""

    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo (DER) of the public key that belongs to it."""

    def sign(self, message: bytes, algorithm: Algorithm) -> bytes:
        """The signature of a message. Raises BpfasError."""


class SigningTool(Protocol):
    """What can sign and verify."""

    def private_key(self, path: str, password: bytes | None) -> PrivateKey:
        """The key of a file. Raises BpfasError, also if it cannot be decrypted."""

    def is_signed_by(self, public_key: bytes, signature: bytes, message: bytes, algorithm: Algorithm) -> bool:
        """Whether a signature is that of a message by the owner of a key (SubjectPublicKeyInfo, DER)."""


def signing_tool() -> SigningTool:
    """The package `cryptography` if it is installed, else openssl. Raises BpfasError if there is neither.

    A package that is too old to know all kinds of keys is as none.
    """
    if importlib.util.find_spec("cryptography") and importlib.util.find_spec(_NEWEST_MODULE):
        return CryptographyPackage()
    if shutil.which("openssl"):
        return OpensslCommand()
    raise BpfasError.of(
        "signatures are made and verified by the package cryptography (a recent one) or the command openssl, and "
        "neither is here",
        "signing",
        ("install one of them: pip install bpf-as[sign], or the package openssl of the distribution",),
    )


def _read_key(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BpfasError.of(f"the private key cannot be read: {error.strerror}", path) from error


class CryptographyPackage:
    """The package `cryptography`, imported when something is signed or verified."""

    def private_key(self, path: str, password: bytes | None) -> PrivateKey:
        """See `SigningTool`."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        data = _read_key(path)
        load = serialization.load_pem_private_key if _PEM in data else serialization.load_der_private_key
        try:
            return _CryptographyKey(load(data, password), path)
        except TypeError as error:
            if password is None:
                raise BpfasError.of(_NO_PASSWORD, path, (_GIVE_PASSWORD,)) from error
            # It is not encrypted: then the password does not matter.
            return self.private_key(path, None)
        except UnsupportedAlgorithm as error:
            raise BpfasError.of(f"the private key cannot be used: {error}", path, (_FORMS,)) from error
        except ValueError as error:
            if password is not None:
                raise BpfasError.of(f"{_WRONG_PASSWORD}, or the file is damaged", path) from error
            raise BpfasError.of("this is not a private key", path, (_FORMS,)) from error

    def is_signed_by(self, public_key: bytes, signature: bytes, message: bytes, algorithm: Algorithm) -> bool:
        """See `SigningTool`."""
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

        digest = getattr(hashes, algorithm.digest.upper())()
        try:
            key = serialization.load_der_public_key(public_key)
            match key:
                case rsa.RSAPublicKey():
                    key.verify(signature, message, padding.PKCS1v15(), digest)
                case ec.EllipticCurvePublicKey():
                    key.verify(signature, message, ec.ECDSA(digest))
                case (
                    ed25519.Ed25519PublicKey()
                    | mldsa.MLDSA44PublicKey()
                    | mldsa.MLDSA65PublicKey()
                    | mldsa.MLDSA87PublicKey()
                ):
                    key.verify(signature, message)
                case _:
                    return False
        except InvalidSignature:
            return False
        except (UnsupportedAlgorithm, ValueError) as error:
            raise BpfasError.of(f"the key of the certificate cannot be used: {error}", algorithm.name) from error
        return True


class _CryptographyKey:
    def __init__(self, key: PrivateKeyTypes, path: str) -> None:
        self._key = key
        self._path = path

    def public_key(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes, algorithm: Algorithm) -> bytes:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

        digest = getattr(hashes, algorithm.digest.upper())()
        try:
            match self._key:
                case rsa.RSAPrivateKey() as key:
                    return key.sign(message, padding.PKCS1v15(), digest)
                case ec.EllipticCurvePrivateKey() as key:
                    return key.sign(message, ec.ECDSA(digest, deterministic_signing=True))
                case (
                    ed25519.Ed25519PrivateKey()
                    | mldsa.MLDSA44PrivateKey()
                    | mldsa.MLDSA65PrivateKey()
                    | mldsa.MLDSA87PrivateKey() as key
                ):
                    return key.sign(message)
        except (UnsupportedAlgorithm, ValueError) as error:
            raise BpfasError.of(f"the private key cannot sign: {error}", self._path, (_FORMS,)) from error
        raise BpfasError.of(f"{algorithm.name} keys are not supported", self._path, (_FORMS,))


class OpensslCommand:
    """The command openssl, of version 1.1.1 or later."""

    def private_key(self, path: str, password: bytes | None) -> PrivateKey:
        """See `SigningTool`."""
        data = _read_key(path)
        key = _OpensslKey(path, "PEM" if _PEM in data else "DER", password)
        is_encrypted = b"ENCRYPTED" in data
        if is_encrypted and password is None:
            raise BpfasError.of(_NO_PASSWORD, path, (_GIVE_PASSWORD,))
        done = key.run("pkey", "-inform", key.form, "-in", path, "-pubout", "-outform", "DER")
        if done.returncode:
            message = f"{_WRONG_PASSWORD}, or the file is damaged" if password else "this is not a private key"
            raise BpfasError.of(message, path, (_said(done), *(() if password else (_FORMS,))))
        key.public = done.stdout
        return key

    def is_signed_by(self, public_key: bytes, signature: bytes, message: bytes, algorithm: Algorithm) -> bool:
        """See `SigningTool`."""
        with tempfile.TemporaryDirectory(prefix="bpf-sign-") as folder:
            key, signed, signature_file = (str(Path(folder) / name) for name in ("key", "message", "signature"))
            Path(key).write_bytes(public_key)
            Path(signed).write_bytes(message)
            Path(signature_file).write_bytes(signature)
            readable = _openssl("pkey", "-pubin", "-inform", "DER", "-in", key, "-noout")
            if readable.returncode:
                raise BpfasError.of(
                    "the key of the certificate cannot be used", algorithm.name, (_said(readable),)
                )
            if algorithm.is_pure:
                owner = ("-pubin", "-keyform", "DER", "-inkey", key)
                done = _openssl("pkeyutl", "-verify", "-rawin", *owner, "-in", signed, "-sigfile", signature_file)
            else:
                given = ("-keyform", "DER", "-verify", key, "-signature", signature_file)
                done = _openssl("dgst", f"-{algorithm.digest}", *given, signed)
            return not done.returncode


class _OpensslKey:
    public = b""

    def __init__(self, path: str, form: str, password: bytes | None) -> None:
        self.form = form
        self._path = path
        self._password = password or b""

    def public_key(self) -> bytes:
        return self.public

    def sign(self, message: bytes, algorithm: Algorithm) -> bytes:
        key = ("-keyform", self.form)
        with tempfile.TemporaryDirectory(prefix="bpf-sign-") as folder:
            file = Path(folder) / "message"
            file.write_bytes(message)
            if algorithm.is_pure:
                done = self.run("pkeyutl", "-sign", "-rawin", *key, "-inkey", self._path, "-in", str(file))
            else:
                done = self.run("dgst", f"-{algorithm.digest}", "-binary", *key, "-sign", self._path, str(file))
        if done.returncode:
            raise BpfasError.of("the private key cannot sign", self._path, (_said(done),))
        return done.stdout

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """openssl with the password on its standard input, where no other process sees it."""
        return _openssl(command, "-passin", "stdin", *arguments, given=self._password + b"\n")


def _openssl(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = shutil.which("openssl")
    assert command
    try:
        return subprocess.run(
            [command, *arguments], input=given, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BpfasError.of(f"openssl {arguments[0]} does not end", command) from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return f"openssl says: {lines[0] if lines else f'exit status {done.returncode}'}"
