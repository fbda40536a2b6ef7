"""Keyrings: which one a word of the user's means, and certificates put into one for a while.

The kernel verifies signatures with the keys of a keyring. Its own (builtin, secondary, platform, bpf) it fills
itself; the others belong to processes and users. Source: the kernel's document core-api/keyrings; keyctl(2).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.errors import errno_name
from bpfas.loader.syscall.keys import add_key, clear_keyring, describe_key, invalidate_key, unlink_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfas.loader.gen.signing.certificates import Certificate

BUILTIN, SECONDARY, PLATFORM = 0, 1, 2
THREAD, PROCESS, SESSION, USER, USER_SESSION = -1, -2, -3, -4, -5
BPF = -9
KEYRINGS = {
    "builtin": BUILTIN,
    "secondary": SECONDARY,
    "platform": PLATFORM,
    "thread": THREAD,
    "process": PROCESS,
    "session": SESSION,
    "user": USER,
    "user-session": USER_SESSION,
    "bpf": BPF,
}
"""The keyrings that have names, by the ids that BPF_PROG_LOAD takes. Others have serial numbers."""

_OWN_KEYRING = "bpf-as"
_numbers = itertools.count()
"""One for each keyring that was made: those of one description replace one another."""

_SERIAL_NUMBERS = range(3, 1 << 31)

_NO_KEYS = "this kernel has no keyrings, or none for certificates"
_CAUSES = {
    errno.ENOSYS: (_NO_KEYS, "it takes CONFIG_KEYS"),
    errno.ENODEV: (_NO_KEYS, "it takes CONFIG_ASYMMETRIC_KEY_TYPE and CONFIG_X509_CERTIFICATE_PARSER"),
    errno.ENOPKG: ("this kernel cannot use keys or signatures of its kind", "use an RSA or ECDSA key"),
    errno.ENOENT: (
        "this kernel cannot use keys of its kind, or the keyring is not there",
        "use an RSA key, or a kernel with CONFIG_CRYPTO_ECDSA",
    ),
    errno.EBADMSG: ("the kernel does not take it for a certificate", "give an X.509 certificate"),
    errno.EKEYREJECTED: ("the keyring takes only what keys in it have signed", "choose another keyring"),
    errno.EACCES: ("this process may not write to the keyring", "choose another keyring"),
    errno.EPERM: ("this process may not write to the keyring", "choose another keyring"),
    errno.ENOKEY: ("there is no such keyring", "keyctl show lists those of the session"),
    errno.EDQUOT: ("the user has as many keys as he may have", "see /proc/key-users"),
}


def keyring_id(word: str | int) -> int:
    """The id of a keyring, for BPF_PROG_LOAD: of one of KEYRINGS, or a serial number (`0x` for hexadecimal).

    Raises BpfasError for anything else. Whether there is such a keyring is for the kernel to say.
    """
    if isinstance(word, str) and word in KEYRINGS:
        return KEYRINGS[word]
    try:
        number = int(word, 0) if isinstance(word, str) else word
    except ValueError:
        number = None
    if number is None or not (number in KEYRINGS.values() or number in _SERIAL_NUMBERS):
        raise BpfasError.of(
            f"there is no keyring '{word}'",
            "keyring",
            (f"give one of {', '.join(KEYRINGS)}, or the serial number of a keyring, as /proc/keys lists them",),
        )
    return number


def keyring_words(number: int) -> str:
    """What a keyring is called, by its id: its word, or its number and description."""
    for word, known in KEYRINGS.items():
        if known == number:
            return f"the keyring '{word}'"
    with contextlib.suppress(OSError):
        return f"the keyring {number} ('{describe_key(number).rpartition(';')[2]}')"
    return f"the keyring {number}"


@contextlib.contextmanager
def trusted(certificate: Certificate) -> Iterator[int]:
    """A keyring of this process that has this certificate and no other, until the end; gives its id.

    Raises BpfasError if the kernel does not take the certificate.
    """
    with _keyring_failures("a keyring", certificate.path):
        keyring = add_key("keyring", f"{_OWN_KEYRING} {os.getpid()}.{next(_numbers)}", b"", PROCESS)
    try:
        with _keyring_failures("the certificate", certificate.path):
            add_key("asymmetric", _description(certificate), certificate.der, keyring)
        yield keyring
    finally:
        with contextlib.suppress(OSError):  # somebody else has
            clear_keyring(keyring)
            invalidate_key(keyring)


@contextlib.contextmanager
def in_keyring(certificate: Certificate, keyring: str | int = SESSION) -> Iterator[int]:
    """`certificate` is in a keyring until the end; gives the keyring's id. Raises BpfasError as `trusted` does."""
    number = keyring_id(keyring)
    if number in {BUILTIN, SECONDARY, PLATFORM, BPF}:
        raise BpfasError.of(
            f"certificates cannot be put into {keyring_words(number)} this way: the kernel fills it itself",
            certificate.path,
            ("choose the keyring session or user",),
        )
    with _keyring_failures("the certificate", certificate.path):
        key = add_key("asymmetric", _description(certificate), certificate.der, number)
    try:
        yield number
    finally:
        with contextlib.suppress(OSError):  # others may have taken it out
            unlink_key(key, number)


def _description(certificate: Certificate) -> str:
    """One that no other key has by chance: keys of the same description replace one another."""
    return f"{_OWN_KEYRING}: {certificate.key_identifier.hex()}"


@contextlib.contextmanager
def _keyring_failures(what: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        cause, remedy = _CAUSES.get(number, (os.strerror(number), ""))
        message = f"{what} cannot be put into the kernel's keyring ({errno_name(number)}): {cause}"
        raise BpfasError.of(message, path, (remedy,) if remedy else ()) from error
