"""Objects loaded by this loader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader import load as load_object
from bpfas.loader import syscall
from tests.loader.proof.facts import Facts, facts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from bpfas.loader import Image


def load(
    path: Path, wanted: Collection[str], kconfig: str = "", targets: Mapping[str, int] | None = None
) -> Facts:
    """What the kernel has when this loader loads these programs of an object; see `libbpf.load`."""

    def choose(image: Image) -> None:
        for name in image.programs:
            image.set_program(name, autoload=name in wanted)

    ids = {name: syscall.prog_info(fd).id for name, fd in (targets or {}).items()}
    try:
        with load_object(path, configure=choose, kconfig=kconfig, target=ids) as app:
            return facts(
                {name: program.fd for name, program in app.programs.items()},
                [each.fd for each in app.maps.values()],
            )
    except BpfasError as error:
        return Facts(refusal=str(error))
