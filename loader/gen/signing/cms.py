"""Detached signatures in the Cryptographic Message Syntax, in the one form that the kernel is given.

One signer, named by the subject key identifier of its certificate; no certificates in it; nothing that depends on
the time. Attributes are signed only where the algorithm asks for them. Source: RFC 5652 §5, §11; RFC 5754, RFC
8419 and RFC 9882 for the algorithms.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from bpfas.loader.gen.signing.der import (
    INTEGER,
    NULL,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DerError,
    Element,
    context,
    element,
    encoded,
    encoded_integer,
    encoded_oid,
    encoded_set,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_SIGNED_DATA = encoded_oid("1.2.840.113549.1.7.2")
_DATA = encoded_oid("1.2.840.113549.1.7.1")
_CONTENT_TYPE = encoded_oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = encoded_oid("1.2.840.113549.1.9.4")
_VERSION_WITH_KEY_IDENTIFIER = 3

DIGESTS = {
    "sha256": encoded_oid("2.16.840.1.101.3.4.2.1"),
    "sha384": encoded_oid("2.16.840.1.101.3.4.2.2"),
    "sha512": encoded_oid("2.16.840.1.101.3.4.2.3"),
}


class Algorithm(NamedTuple):
    """How keys of a kind sign: `key_type` and `signature_type` are object identifiers (DER).

    `with_digests` are those that name the digest as well, where `signature_type` does not, or where it is empty.
    `name` is what people call the kind. What `is_pure` signs a message as it is: it is given attributes that have
    the digest of the content. The others sign the digest of the content.
    """

    name: str
    key_type: bytes
    signature_type: bytes
    digest: str
    is_pure: bool = False
    has_null: bool = False
    with_digests: tuple[tuple[str, bytes], ...] = ()

    def signature_types(self, digest: str) -> list[bytes]:
        """By which object identifiers signatures name this, with a digest; the first is how ours do."""
        types = (self.signature_type, dict(self.with_digests).get(digest, b""))
        return [each for each in types if each]


_RSA, _EC = encoded_oid("1.2.840.113549.1.1.1"), encoded_oid("1.2.840.10045.2.1")
_RSA_WITH_SHA_2 = tuple(zip(DIGESTS, (encoded_oid(f"1.2.840.113549.1.1.{n}") for n in (11, 12, 13)), strict=True))
_ECDSA_WITH_SHA_2 = tuple(zip(DIGESTS, (encoded_oid(f"1.2.840.10045.4.3.{n}") for n in (2, 3, 4)), strict=True))
_ED25519 = encoded_oid("1.3.101.112")
_ML_DSA = {size: encoded_oid(f"2.16.840.1.101.3.4.3.{number}") for size, number in ((44, 17), (65, 18), (87, 19))}
ALGORITHMS = (
    Algorithm("RSA", _RSA, _RSA, "sha256", has_null=True, with_digests=_RSA_WITH_SHA_2),
    Algorithm("ECDSA", _EC, b"", "sha256", with_digests=_ECDSA_WITH_SHA_2),
    Algorithm("Ed25519", _ED25519, _ED25519, "sha512", is_pure=True),
    *(Algorithm(f"ML-DSA-{size}", oid, oid, "sha512", is_pure=True) for size, oid in _ML_DSA.items()),
)


class SignedData(NamedTuple):
    """What a signature says: `key_identifier` is the signer's, empty where it names the certificate otherwise.

    `attributes` is the SET of signed attributes, `message_digest` the one among them; empty where there are none.
    """

    key_identifier: bytes
    digest: str
    signature_type: bytes
    attributes: bytes
    message_digest: bytes
    signature: bytes


def encode(algorithm: Algorithm, key_identifier: bytes, content: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """A signature of `content` (DER); `sign` gives the bare one of a message, by the algorithm."""
    digest = encoded(SEQUENCE, DIGESTS[algorithm.digest])
    attributes = _attributes(algorithm.digest, content) if algorithm.is_pure else b""
    null = encoded(NULL) if algorithm.has_null else b""
    signer = encoded(
        SEQUENCE,
        encoded_integer(_VERSION_WITH_KEY_IDENTIFIER),
        encoded(context(0, constructed=False), key_identifier),
        digest,
        *([encoded(context(0), element(attributes).content)] if attributes else []),
        encoded(SEQUENCE, algorithm.signature_types(algorithm.digest)[0], null),
        encoded(OCTET_STRING, sign(attributes or content)),
    )
    signed_data = encoded(
        SEQUENCE,
        encoded_integer(_VERSION_WITH_KEY_IDENTIFIER),
        encoded_set(digest),
        encoded(SEQUENCE, _DATA),
        encoded_set(signer),
    )
    return encoded(SEQUENCE, _SIGNED_DATA, encoded(context(0), signed_data))


def _attributes(digest: str, content: bytes) -> bytes:
    return encoded_set(
        encoded(SEQUENCE, _CONTENT_TYPE, encoded_set(_DATA)),
        encoded(
            SEQUENCE, _MESSAGE_DIGEST, encoded_set(encoded(OCTET_STRING, hashlib.new(digest, content).digest()))
        ),
    )


def decode(data: bytes) -> SignedData:
    """What a signature says, of ours or of another tool's.

    Raises DerError if it is not a detached signature of one signer, or its digest is not known here.
    """
    whole = _Fields(_expect(element(data), SEQUENCE))
    if whole.take(OBJECT_IDENTIFIER).encoded != _SIGNED_DATA:
        raise DerError("not signed data")
    body = _Fields(_expect(_only(whole.take(context(0))), SEQUENCE))
    whole.end()
    version = body.take(INTEGER).content
    digests = [_algorithm_type(each) for each in body.take(SET).children()]
    if body.take(SEQUENCE).content != _DATA:
        raise DerError("what is signed is in the signature, not beside it, or is not plain data")
    body.skip(context(0))
    body.skip(context(1))
    signer = _Fields(_expect(_only(body.take(SET)), SEQUENCE))
    body.end()
    signer_version = signer.take(INTEGER).content
    who = signer.take(None)
    has_identifier = who.tag == context(0, constructed=False)
    if not has_identifier:
        _expect(who, SEQUENCE)
    if {version, signer_version} != {bytes([_VERSION_WITH_KEY_IDENTIFIER if has_identifier else 1])}:
        raise DerError("its version and how it names the signer do not fit")
    digest_type = _algorithm_type(signer.take(SEQUENCE))
    digest = next((name for name, oid in DIGESTS.items() if oid == digest_type), "")
    if not digest or digests != [digest_type]:
        raise DerError("a digest that is not SHA-256, SHA-384 or SHA-512")
    attributes = signer.skip(context(0))
    signature_type = _algorithm_type(signer.take(SEQUENCE))
    signature = signer.take(OCTET_STRING).content
    signer.end()
    return SignedData(
        who.content if has_identifier else b"",
        digest,
        signature_type,
        # What is signed has the tag of a SET.
        encoded(SET, attributes.content) if attributes else b"",
        _digest_among(attributes) if attributes else b"",
        signature,
    )


def _digest_among(attributes: Element) -> bytes:
    """The digest among signed attributes, which must be there, as what they say is signed must be plain data."""
    found: dict[bytes, Element] = {}
    for attribute in attributes.children():
        fields = _Fields(_expect(attribute, SEQUENCE))
        kind, values = fields.take(OBJECT_IDENTIFIER).encoded, fields.take(SET)
        fields.end()
        if kind in found:
            raise DerError("the same signed attribute twice")
        found[kind] = values
    if _MESSAGE_DIGEST not in found or _CONTENT_TYPE not in found:
        raise DerError("signed attributes without a digest, or without the type of what is signed")
    if _only(found[_CONTENT_TYPE]).encoded != _DATA:
        raise DerError("signed attributes of what is not plain data")
    return _expect(_only(found[_MESSAGE_DIGEST]), OCTET_STRING).content


def _algorithm_type(identifier: Element) -> bytes:
    """The object identifier (DER) of an algorithm without parameters."""
    fields = _Fields(_expect(identifier, SEQUENCE))
    found = fields.take(OBJECT_IDENTIFIER).encoded
    null = fields.skip(NULL)
    fields.end()
    if null and null.content:
        raise DerError("an algorithm with parameters")
    return found


def _expect(found: Element, tag: int) -> Element:
    if found.tag != tag:
        raise DerError("something else stands where a part of it belongs")
    return found


def _only(whole: Element) -> Element:
    children = whole.children()
    if len(children) != 1:
        raise DerError(f"{len(children)} values where one belongs")
    return children[0]


class _Fields:
    """The values in a constructed one, taken one after the other."""

    def __init__(self, whole: Element) -> None:
        self._left = whole.children()

    def take(self, tag: int | None) -> Element:
        """The next one, which must have this tag unless that is None."""
        if not self._left or (tag is not None and self._left[0].tag != tag):
            raise DerError("a part of it is missing")
        return self._left.pop(0)

    def skip(self, tag: int) -> Element | None:
        """The next one if it has this tag."""
        return self._left.pop(0) if self._left and self._left[0].tag == tag else None

    def end(self) -> None:
        """There must be no more of them."""
        if self._left:
            raise DerError("it has parts that do not belong there")
