"""Programs to an infrared receiver (lirc), by BPF_PROG_ATTACH.

Source: the kernel's documents on lirc and BPF_LIRC_MODE2.
"""

from __future__ import annotations

import errno
import glob
import os
from typing import TYPE_CHECKING

from bpfas.loader.attach.command import ProgAttach, attach_by_command
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from contextlib import ExitStack

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable


def attach_lirc(program: Attachable, *, device: str | os.PathLike[str]) -> Link:
    """Attach to a receiver (`/dev/lirc0`), for good: until told otherwise. Raises AttachError."""
    path = os.fspath(device)
    target = f"infrared receiver {path}"

    def prepare(held: ExitStack) -> ProgAttach:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            known = ", ".join(sorted(glob.glob("/dev/lirc*")))
            cause = f"cannot open {path}: {os.strerror(error.errno or 0)}"
            remedy = f"there are {known}" if known else "this machine has no lirc device"
            raise attach_error(program, target, error, explanation=Explanation(cause, remedy)) from error
        held.callback(os.close, fd)
        return ProgAttach(fd, AttachType.LIRC_MODE2)

    return attach_by_command(program, target, prepare, _CAUSES.get)


_CAUSES = {
    errno.EINVAL: Explanation(
        "this is no receiver of raw infrared signals, or the kernel has no BPF for them",
        "give a device /dev/lircN that receives, and a kernel with CONFIG_BPF_LIRC_MODE2",
    ),
    errno.ENODEV: Explanation(
        "this is no receiver of raw infrared signals", "give a device /dev/lircN that receives"
    ),
    errno.E2BIG: Explanation("the receiver has as many programs as the kernel permits: 64", "detach one first"),
    errno.EEXIST: Explanation("the program is attached to this receiver already"),
}
