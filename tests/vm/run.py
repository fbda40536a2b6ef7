"""Run a command under another kernel: `python -m tests.vm.run 6.12 -- pytest -q tests/loader`.

The command has the same files, directory and Python as on the host, as root, without network. Its output is
this command's, and so is its exit status; 124 stands for a machine that took too long, 125 for one that could not
be set up or ended before the command did.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.vm.initramfs import Job
from tests.vm.kernels import VERSIONS, NotAvailableError, SetupError, guest_kernel
from tests.vm.machine import Machine, run_job

TIMED_OUT, NOT_RUN = 124, 125

PROJECT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """The command; gives its exit status."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the machine ends too
    machine = Machine(options.processors, options.megabytes, options.seconds, options.append)
    try:
        kernel = guest_kernel(options.kernel)
        outcome = run_job(kernel, Job(options.command, Path.cwd(), environment(options.env)), machine)
    except NotAvailableError as error:
        print(f"tests.vm.run: {error}", file=sys.stderr)
        return 0 if options.if_available else NOT_RUN
    except SetupError as error:
        print(f"tests.vm.run: {error}", file=sys.stderr)
        return NOT_RUN
    except TimeoutError as error:
        print(f"tests.vm.run: {error}", file=sys.stderr)
        return TIMED_OUT
    if options.kernel_log:
        options.kernel_log.write_text(outcome.kernel_log)
    for line in outcome.complaints():
        print(f"kernel {kernel.release}: {line}", file=sys.stderr)
    if outcome.status is None:
        print(
            f"tests.vm.run: the machine ended before the command did\n{outcome.kernel_log[-4000:]}",
            file=sys.stderr,
        )
        return NOT_RUN
    return outcome.status


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    result = argparse.ArgumentParser("tests.vm.run", description=__doc__, allow_abbrev=False)
    machine = Machine()
    result.add_argument("kernel", choices=VERSIONS, help="the version of the kernel")
    result.add_argument("command", nargs="+", help="what to run, with its arguments")
    result.add_argument(
        "--processors", type=int, default=machine.processors, help="processors of the machine (%(default)s)"
    )
    result.add_argument(
        "--megabytes", type=int, default=machine.megabytes, help="memory of the machine (%(default)s)"
    )
    result.add_argument(
        "--seconds", type=float, default=machine.seconds, help="stop the machine after this time (%(default)s)"
    )
    result.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable for the command"
    )
    result.add_argument(
        "--if-available",
        action="store_true",
        help="exit status 0 where the kernel's package cannot be had",
    )
    result.add_argument("--append", default="", metavar="WORDS", help="more words for the kernel's command line")
    result.add_argument("--kernel-log", type=Path, metavar="FILE", help="write what the kernel logged to a file")
    return result


def environment(extra: list[str]) -> dict[str, str]:
    """The command's variables: this Python first among the commands, this project first among its modules."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
        "HOME": os.environ.get("HOME", "/root"),
        "LANG": "C.UTF-8",
        "TMPDIR": "/run/tmp",
        **dict(variable.split("=", 1) for variable in extra),
    }


if __name__ == "__main__":
    sys.exit(main())
