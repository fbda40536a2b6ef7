"""What the kernel is given besides instructions and data when a program was made to be signed.

The map with the data belongs to this one program, by the hash of its instructions, and is frozen. Then the kernel
verifies the signature when the program is loaded, with the keys of a keyring. What it says if it refuses is put
into words here.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

from bpfas.elf.constants import HOST_ORDER
from bpfas.loader import syscall
from bpfas.loader.gen.emission.assembler import Assembler
from bpfas.loader.gen.emission.hash_check import hash_check
from bpfas.loader.gen.loader_program import LICENSE, Scheme
from bpfas.loader.gen.signing.keyring import BUILTIN, keyring_words
from bpfas.loader.kinds import MapType, ProgramFlag, ProgramType
from bpfas.loader.privilege import Explanation
from bpfas.loader.syscall import ProgramLoad

if TYPE_CHECKING:
    from bpfas.loader.gen.loader_program import LoaderProgram

_NO_DESCRIPTOR = (1 << 31) - 1
_JUNK = b"\0"

UNKNOWN_FIELD = frozenset({errno.EINVAL, errno.E2BIG})
"""With what a kernel refuses an exclusive map if it has none."""

NO_EXCLUSIVE_MAPS = Explanation(
    "this kernel has no maps that belong to one program alone: it is older than Linux 6.18",
    "use a newer kernel, or a loader program that is not made to be signed (without --scheme)",
)
_NO_SIGNATURES = Explanation(
    "this kernel verifies no signatures of programs: it is older than Linux 6.18",
    "use a newer kernel, or run the program without a keyring, which leaves its signature out",
)
_NOT_BUILT = Explanation(
    "this kernel is built without the verification of signatures (CONFIG_SYSTEM_DATA_VERIFICATION)",
    "use a kernel that has it, or run the program without a keyring, which leaves its signature out",
)
_DAMAGED = Explanation(
    "the kernel cannot read the signature: it is damaged, or not a detached CMS signature in DER",
    "sign the loader program again",
)
_CHANGED = Explanation(
    "the signature is not one of this program: instructions, data or signature have been changed since",
    "bpf-load gen verify says more; take the program as it was signed, or sign it again",
)
_NO_ALGORITHM = Explanation(
    "this kernel lacks the algorithm that the signature was made by", "sign it by an RSA or ECDSA key"
)
_NO_OWNER_VISIBLE = Explanation(
    "programs of this kernel cannot see whether a map belongs to one program alone",
    f"generate the loader program for the scheme {Scheme.EARLY_HASH_IN_PROGRAM.value}, and sign that",
)
_LOG_OF_VERIFIER_WITHOUT_OWNER = "in struct bpf_map with off 32 size 4"


def exclusive_hash(program: LoaderProgram) -> bytes:
    """The hash of the only program that may use the map with the data; empty for one that is not to be signed."""
    return hashlib.sha256(program.instructions).digest() if program.scheme else b""


def seal(program: LoaderProgram, map_fd: int) -> None:
    """Freeze the map with the data of a program that is made to be signed. Raises OSError.

    Where the program looks at the hash of the data, the kernel is told to compute that.
    """
    if program.scheme is None:
        return
    syscall.map_freeze(map_fd)
    if program.scheme is not Scheme.INSTRUCTIONS_AND_DATA:
        syscall.map_hash(map_fd)


def with_signature(load: ProgramLoad, program: LoaderProgram, keyring: int) -> ProgramLoad:
    """`load` with the signature of `program`, to be verified with the keys of a keyring (its id).

    Without this the kernel loads a signed program as it does any other.
    """
    if program.signature is None:
        return load
    return load._replace(
        signature=program.signature.data,
        keyring_id=keyring,
        # Kernels that verify the data find it by this; those that do not would refuse it for an exclusive map.
        is_fd_array_counted=program.scheme is Scheme.INSTRUCTIONS_AND_DATA,
    )


def kernel_scheme() -> Scheme | None:
    """The scheme by which the running kernel verifies signatures; None if it does not, by its age or its build.

    Found out by trying: kernels that verify the data look at `fd_array` before they look at the signature.
    """
    load = ProgramLoad(
        "probe",
        ProgramType.SYSCALL,
        _return_0(),
        LICENSE.encode(),
        flags=ProgramFlag.SLEEPABLE,
        fd_array=(_NO_DESCRIPTOR,),
        signature=_JUNK,
        keyring_id=BUILTIN,
        is_fd_array_counted=True,
    )
    match _errno_of(load):
        case errno.EBADF:
            return Scheme.INSTRUCTIONS_AND_DATA
        case errno.EBADMSG:
            return Scheme.HASH_IN_PROGRAM if _sees_owner() else Scheme.EARLY_HASH_IN_PROGRAM
        case _:
            return None


def _return_0() -> bytes:
    code = Assembler(HOST_ORDER)
    code.put("mov_imm", 0)
    code.put("exit")
    return code.code()


def _sees_owner() -> bool:
    data = bytes(8)
    map_fd = syscall.map_create("probe", MapType.ARRAY, 4, len(data), 1)
    try:
        code = hash_check(data, HOST_ORDER) + _return_0()
        load = ProgramLoad("probe", ProgramType.SYSCALL, code, LICENSE.encode(), flags=ProgramFlag.SLEEPABLE)
        return not _errno_of(load._replace(fd_array=(map_fd,)))
    finally:
        os.close(map_fd)


def _errno_of(load: ProgramLoad) -> int:
    """The number with which the kernel refuses a program, 0 if it does not."""
    try:
        os.close(syscall.prog_load(load))
    except OSError as error:
        return error.errno or 0
    return 0


def explain_refusal(program: LoaderProgram, keyring: int | None, number: int, log: str = "") -> Explanation | None:
    """Why the kernel did not load a program that was made to be signed, None if it is not for that.

    `keyring` is the id of the keyring, None if the signature was left out; `log` is what the kernel has said.
    """
    if program.scheme is None:
        return None
    if _LOG_OF_VERIFIER_WITHOUT_OWNER in log and program.scheme is Scheme.HASH_IN_PROGRAM:
        return _NO_OWNER_VISIBLE
    if keyring is None or program.signature is None:
        return None
    match number:
        case errno.E2BIG if "payload" in log:
            return Explanation("the instructions and the data are more than a kernel verifies: 16 MiB")
        case errno.E2BIG:
            return _NO_SIGNATURES
        case errno.EOPNOTSUPP:
            return _NOT_BUILT
        case errno.EBADMSG:
            return _DAMAGED
        case errno.ENOPKG:
            return _NO_ALGORITHM
        case errno.ENOKEY:
            return Explanation(
                f"the key that has signed the program is not in {keyring_words(keyring)}",
                "give the certificate of the key, or put it into the keyring: keyctl padd asymmetric '' KEYRING",
            )
        case errno.EINVAL if not log or "cannot resolve" in log:
            return Explanation(
                f"there is no keyring of this process behind {keyring_words(keyring)}",
                "choose another keyring: session, user, builtin, secondary, platform, or a serial number",
            )
        case errno.EKEYREJECTED | errno.EACCES | errno.EPERM:
            return _other_scheme(program) or (_CHANGED if number == errno.EKEYREJECTED else None)
        case _:
            return None


def _other_scheme(program: LoaderProgram) -> Explanation | None:
    found = kernel_scheme()
    if found is None or program.scheme is None:
        return None
    if (found is Scheme.INSTRUCTIONS_AND_DATA) == (program.scheme is Scheme.INSTRUCTIONS_AND_DATA):
        return None
    return Explanation(
        f"the program was made for the scheme {program.scheme.value}, and this kernel has {found.value}",
        f"generate it for the scheme {found.value}, and sign that",
    )
