"""Where the processes of the installed commands begin and end. What the commands do is their `cli`'s part.

A small source takes less time than Python itself, so two things are left out that a process which ends soon does
not need: to look for garbage, while modules are imported too, and to take every object apart at the end.
"""

from __future__ import annotations

import gc
import os
import sys


def bpf_as() -> int:
    """The command bpf-as."""
    gc.disable()
    _keep_numpy_small()
    from bpfas.asm.cli import main

    return _end(main())


def bpf_ld() -> int:
    """The command bpf-ld."""
    gc.disable()
    _keep_numpy_small()
    from bpfas.link.cli import main

    return _end(main())


def bpf_load() -> int:
    """The command bpf-load."""
    gc.disable()
    from bpfas.loader.cli import main

    return _end(main())


def bpf_objdump() -> int:
    """The command bpf-objdump."""
    gc.disable()
    from bpfas.objdump.cli import main

    return _end(main())


def _keep_numpy_small() -> None:
    """Let numpy, where it is imported, start no threads: they are for the algebra of matrices."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _end(status: int) -> int:
    """End the process with this status; where a text cannot be written, Python shall end it and say so."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        return status
    os._exit(status)
