"""Python modules of loader programs that are made to be signed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bpfas.loader import open_image, syscall
from bpfas.loader.gen import GenOptions, generate
from bpfas.loader.gen.loader_program import Scheme
from bpfas.loader.gen.python.module import python_module
from bpfas.loader.gen.running.signed_loading import kernel_scheme
from bpfas.loader.gen.signing.certificates import read_certificate
from bpfas.loader.gen.signing.keyring import in_keyring
from bpfas.loader.gen.signing.sign import sign
from bpfas.loader.kinds import MapType
from tests.loader.gen.python.support import interpret
from tests.loader.gen.signing.support import signer
from tests.loader.kernel_support import Requirement, needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bpfas.loader.gen import LoaderProgram


pytestmark = pytest.mark.kernel

SIGNED = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, int); __type(value, int); }
    counts SEC(".maps");
int threshold = 3;
const volatile int limit = 7;
SEC("xdp") int prog(struct xdp_md *ctx) { return threshold + limit + !bpf_map_lookup_elem(&counts, &threshold); }
"""


def why_no_exclusive_maps() -> str:
    try:
        os.close(syscall.map_create("m", MapType.ARRAY, 4, 8, 1, exclusive_hash=bytes(32)))
    except OSError as error:
        return f"making one gives {error.errno}"
    return ""


def why_no_signatures() -> str:
    return "" if kernel_scheme() else "this kernel verifies none"


def signed_module(folder: Path, program: LoaderProgram, name: str = "app") -> Path:
    module = folder / f"{name}.py"
    module.write_text(python_module(program))
    return module


@needs(Requirement("maps of one program", why_no_exclusive_maps))
@pytest.mark.parametrize("scheme", [Scheme.EARLY_HASH_IN_PROGRAM, Scheme.INSTRUCTIONS_AND_DATA])
def test_made_to_be_signed(scheme: Scheme, compile_c: Callable[..., str], tmp_path: Path) -> None:
    program = generate(open_image(compile_c(SIGNED, "-g")), GenOptions(scheme=scheme))
    keys = signer(tmp_path, "RSA")
    signed_module(tmp_path, program._replace(data=program.data[:-1] + b"\1"), "damaged")
    printed = interpret(
        signed_module(tmp_path, sign(program, keys.key, keys.certificate)),
        """
        import damaged
        with app.open() as skel:
            skel.data.threshold = 4  # what programs may write is not signed
            skel.load()  # without a keyring nothing is verified
            print(skel.progs.prog.test_run(bytes(64)).retval)
        for module, keyring, change in (
            (app, None, "skel.rodata.limit = 5"),
            (app, None, "skel.maps.counts.max_entries = 5"),
            (app, "nonesuch", ""),
            (damaged, None, ""),
        ):
            with module.open() as skel:
                exec(change)
                skel.loader.keyring = keyring
                try:
                    skel.load()
                except module.LoadError as error:
                    print(error)
        """,
    )
    told = "its data is not that which was signed"
    keyrings = "builtin, secondary, platform, thread, process, session, user, user-session, bpf"
    reason = "EPERM: its size and its first contents are signed, and cannot be changed"
    assert printed.splitlines() == [
        "12",
        f"cannot load app with another map .rodata: {reason}",
        f"cannot load app with another map counts: {reason}",
        f"cannot load the loader program of app: EINVAL: the keyring is 'nonesuch', and is to be of {keyrings}",
        *([f"cannot load app: EINVAL: {told}"] if scheme is Scheme.EARLY_HASH_IN_PROGRAM else []),
    ]


@needs(Requirement("signatures of programs", why_no_signatures))
def test_signatures_are_verified(compile_c: Callable[..., str], tmp_path: Path) -> None:
    keys = signer(tmp_path, "RSA")
    image = open_image(compile_c(SIGNED, "-g"))
    program = sign(generate(image, GenOptions(scheme=kernel_scheme())), keys.key, keys.certificate)
    module = signed_module(tmp_path, program)
    signed_module(tmp_path, program._replace(instructions=program.instructions[:-16] * 2), "damaged")
    with in_keyring(read_certificate(keys.certificate), "session"):
        printed = interpret(
            module,
            """
            import damaged
            for module, keyring in ((app, "session"), (app, "user"), (damaged, "session")):
                with module.open() as skel:
                    skel.loader.keyring = keyring
                    try:
                        skel.load()
                        print(skel.progs.prog.test_run(bytes(64)).retval)
                    except module.LoadError as error:
                        print(error.errno_name, error.reason)
            """,
        )
    assert printed.splitlines() == [
        "11",
        "ENOKEY the key that has signed it is not in the keyring",
        "EKEYREJECTED the signature is not one of these instructions and data",
    ]
