"""What the four commands share: reading inputs, writing outputs whole or not at all, exit statuses."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bpfas.diag import BpfasError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

STANDARD_STREAM = "-"
"""The path that means standard input or standard output."""


def read_input(path: str) -> bytes:
    """The bytes of the file at `path`, or of standard input for `-`; BpfasError when it can't be read."""
    try:
        return sys.stdin.buffer.read() if path == STANDARD_STREAM else Path(path).read_bytes()
    except OSError as error:
        raise BpfasError.of(f"cannot read {path}: {error.strerror}") from error


def write_output(path: str, contents: bytes) -> None:
    """Write `contents` to `path` (`-`: standard output), so that `path` is never seen half-written.

    The bytes go to a file with another name beside it, which then takes its place. A path that is not a
    regular file (a device, a pipe) is written in place. Raises BpfasError when it can't be written.
    """
    try:
        if path == STANDARD_STREAM and sys.stdout is None:
            raise BpfasError.of("cannot write -: standard output is closed")
        if path == STANDARD_STREAM:
            sys.stdout.buffer.write(contents)
            sys.stdout.buffer.flush()
        elif os.path.lexists(path) and not os.path.isfile(path):
            Path(path).write_bytes(contents)
        else:
            _replace_file(os.path.realpath(path), contents)
    except BrokenPipeError:
        raise  # `run` knows what to do when nobody reads any more
    except OSError as error:
        raise BpfasError.of(f"cannot write {path}: {error.strerror}") from error


def refuse_to_overwrite(output: str, inputs: Iterable[str]) -> None:
    """Raise BpfasError if the file `output` is one of `inputs`, which would be lost."""
    for path in inputs:
        are_files = STANDARD_STREAM not in (output, path) and os.path.isfile(output) and os.path.isfile(path)
        if are_files and os.path.samefile(output, path):
            raise BpfasError.of(f"the output {output} is also an input; it would be overwritten")


class ArgumentParser(argparse.ArgumentParser):
    """Reports what is wrong with the arguments as all other errors are reported."""

    def error(self, message: str) -> NoReturn:
        """Raise BpfasError."""
        raise BpfasError.of(f"{message}; try {self.prog} --help")


def _replace_file(path: str, contents: bytes) -> None:
    try:
        mode = os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(contents)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def run(program: str, command: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """Run `command` on `arguments` (default: the process's) and give its exit status.

    What the input is to blame for is printed to standard error, and the status is 1. A message without a
    place carries the program's name, as those of GNU's tools do.
    """
    # A command makes much, keeps it and ends soon; looking for garbage in it only takes time.
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        status = command(sys.argv[1:] if arguments is None else arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BpfasError as error:
        for diagnostic in error.diagnostics:
            print(diagnostic.render() if diagnostic.at else f"{program}: {diagnostic.render()}", file=sys.stderr)
    except BrokenPipeError:
        _discard_standard_output()  # whoever read it has gone
    except OSError as error:
        print(f"{program}: error: cannot write the output: {error.strerror}", file=sys.stderr)
        _discard_standard_output()
    except KeyboardInterrupt:
        return 130
    except RecursionError:
        print(f"{program}: error: the input is nested too deeply", file=sys.stderr)
    except MemoryError:
        print(f"{program}: error: there is not enough memory for this input", file=sys.stderr)
    finally:
        if was_collecting:
            gc.enable()
    return 1


def _discard_standard_output() -> None:
    """Let what is left in the buffer go nowhere, so that the flush at exit has nothing to say."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
