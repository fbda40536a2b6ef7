"""X.509 certificates, as far as signatures ask: whose key it is, by which identifier, and how long it counts.

Whether to trust one is not judged here: that is what the kernel's keyrings say. Source: RFC 5280 §4.1, §4.2.1.2.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError
from bpfas.loader.gen.signing.der import (
    BIT_STRING,
    GENERALIZED_TIME,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    UTC_TIME,
    DerError,
    Element,
    context,
    element,
    encoded_oid,
)

if TYPE_CHECKING:
    import os

_SUBJECT_KEY_IDENTIFIER = encoded_oid("2.5.29.14")
_COMMON_NAME = encoded_oid("2.5.4.3")
_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----\s*([A-Za-z0-9+/=\s]+?)-----END ")
_LARGEST_FILE = 1 << 20
_CENTURY_OF_SHORT_YEARS = 50
"""Years of two digits are from 1950 to 2049."""


class Certificate(NamedTuple):
    """A certificate: `der` all of it, `public_key` its SubjectPublicKeyInfo, `key_type` what kind that is (DER).

    `key_identifier` is empty where it has none. `path` is the file that it was read from.
    """

    path: str
    der: bytes
    subject: str
    public_key: bytes
    key_type: bytes
    key_identifier: bytes
    not_before: datetime
    not_after: datetime


def read_certificate(path: str | os.PathLike[str]) -> Certificate:
    """The certificate of a file, PEM (the first one in it) or DER. Raises BpfasError."""
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise BpfasError.of(f"the certificate cannot be read: {error.strerror}", name) from error
    if len(data) > _LARGEST_FILE:
        raise BpfasError.of("the file is too large for a certificate", name)
    found = _PEM.search(data)
    try:
        der = base64.b64decode(found[1]) if found else data
        return parse_certificate(der, name)
    except (DerError, binascii.Error) as error:
        raise BpfasError.of(
            f"this is not a certificate: {error}",
            name,
            ("give an X.509 certificate, in the form of PEM or DER; the private key is a file of its own",),
        ) from error


def parse_certificate(der: bytes, path: str = "") -> Certificate:
    """A certificate in DER. Raises DerError."""
    whole = _expect(element(der), SEQUENCE)
    body = _expect(_at(whole.children(), 0), SEQUENCE).children()
    if body and body[0].tag == context(0):
        del body[0]
    # serial number, signature algorithm, issuer, validity, subject, public key
    validity = _expect(_at(body, 3), SEQUENCE).children()
    subject = _expect(_at(body, 4), SEQUENCE)
    public_key = _expect(_at(body, 5), SEQUENCE)
    _expect(_at(public_key.children(), 1), BIT_STRING)
    key_type = _expect(_at(_expect(_at(public_key.children(), 0), SEQUENCE).children(), 0), OBJECT_IDENTIFIER)
    extensions = next((each for each in body[6:] if each.tag == context(3)), None)
    return Certificate(
        path,
        der,
        _name(subject),
        public_key.encoded,
        key_type.encoded,
        _key_identifier(extensions) if extensions else b"",
        _time(_at(validity, 0)),
        _time(_at(validity, 1)),
    )


def _at(children: list[Element], index: int) -> Element:
    if index >= len(children):
        raise DerError("a part is missing")
    return children[index]


def _expect(found: Element, tag: int) -> Element:
    if found.tag != tag:
        raise DerError(f"a value with tag {found.tag:#x}, where one with {tag:#x} belongs")
    return found


def _key_identifier(extensions: Element) -> bytes:
    for extension in _expect(_at(extensions.children(), 0), SEQUENCE).children():
        parts = extension.children()
        if _at(parts, 0).encoded == _SUBJECT_KEY_IDENTIFIER:
            return _expect(element(_expect(parts[-1], OCTET_STRING).content), OCTET_STRING).content
    return b""


def _name(subject: Element) -> str:
    """The common name; the last of the others where there is none."""
    text = ""
    for relative in subject.children():
        for attribute in relative.children():
            kind, value = _at(attribute.children(), 0), _at(attribute.children(), 1)
            _expect(kind, OBJECT_IDENTIFIER)
            text = value.content.decode(errors="replace")
            if kind.encoded == _COMMON_NAME:
                return text
    return text


def _time(found: Element) -> datetime:
    text = found.content.decode("ascii", errors="replace")
    if found.tag == UTC_TIME and len(text) > 2 and text[:2].isdecimal():
        text = ("19" if int(text[:2]) >= _CENTURY_OF_SHORT_YEARS else "20") + text
    elif found.tag != GENERALIZED_TIME:
        raise DerError(f"a value with tag {found.tag:#x}, where a time belongs")
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise DerError(f"'{text}' is not a time") from error
