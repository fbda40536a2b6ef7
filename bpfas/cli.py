"""What the four commands share: response files, inputs, outputs whole or not at all, messages, exit statuses."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import re
import stat
import sys
from typing import TYPE_CHECKING

from bpfas.diag import BpfasError, Diagnostic, Severity
from bpfas.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

STANDARD_STREAM = "-"
"""The path that means standard input or standard output."""

MOST_OF_A_STREAM = 1 << 28
"""Bytes that are read of a device or a pipe."""

_WORTH_MAPPING = 1 << 16
"""Bytes of a file for which mapping costs less than reading."""

JSON_OPTION = "--json"
"""The option of every command with which messages are JSON."""

_MOST_RESPONSE_FILES = 2000
"""Response files of a command, those in others counted; more are taken for an endless loop."""

_RESPONSE_WORD = r"""(?s)(?:\\.|'(?:\\.|[^'\\])*'?|"(?:\\.|[^"\\])*"?|[^\s\\'"]|\\\Z)+"""
_RESPONSE_QUOTE = r"""(?s)\\(.|\Z)|'((?:\\.|[^'\\])*)'?|"((?:\\.|[^"\\])*)"?"""


def expand_response_files(arguments: Iterable[str]) -> list[str]:
    """The arguments with the words of FILE in place of every `@FILE`, as GNU's tools do it.

    Words stand between blanks; quotes and backslashes keep blanks in them. An `@FILE` that cannot be read stays as
    it is, for whoever takes it as the name of an input. Raises BpfasError if response files name one another
    without end, or have null bytes, which no argument can have.
    """
    expanded: list[str] = []
    waiting = list(reversed(list(arguments)))
    files = 0
    while waiting:
        word = waiting.pop()
        if not word.startswith("@") or (text := _response_text(word[1:])) is None:
            expanded.append(word)
            continue
        files += 1
        if files > _MOST_RESPONSE_FILES:
            raise BpfasError.of(
                f"there are more than {_MOST_RESPONSE_FILES} response files; does {word} name itself?"
            )
        if "\0" in text:
            raise BpfasError.of(f"{word} is no response file: it has null bytes")
        waiting += reversed([_unquoted(match[0]) for match in re.finditer(_RESPONSE_WORD, text)])
    return expanded


def _response_text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (OSError, ValueError):
        return None


def _unquoted(word: str) -> str:
    def contents(match: re.Match[str]) -> str:
        escaped, single, double = match.groups()
        return escaped if escaped is not None else re.sub(r"\\(.)", r"\1", single or double or "", flags=re.DOTALL)

    return re.sub(_RESPONSE_QUOTE, contents, word)


_COLORS = {Severity.ERROR: "1;31", Severity.WARNING: "1;35", Severity.NOTE: "1;36"}
"""Of the word that says how grave a message is: bold red, magenta, cyan (ECMA-48, SGR)."""

_CONTROL_CHARACTERS = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"
}
"""Names in a file shall not steer the terminal that messages about it are shown on."""


def report(program: str, diagnostics: Iterable[Diagnostic], *, as_json: bool, colored: bool = False) -> None:
    """Print messages to standard error: as text, or each as a line of JSON (docs/diagnostics.md).

    A text without a place carries the program's name, as those of GNU's tools do.
    """
    for diagnostic in diagnostics:
        if as_json:
            line = _json_line({"program": program, **diagnostic.as_data()})
        else:
            text = diagnostic.render().translate(_CONTROL_CHARACTERS)
            line = text if diagnostic.at else f"{program}: {text}"
            if colored:
                word = f"{diagnostic.severity.value}: "
                line = line.replace(word, f"\33[{_COLORS[diagnostic.severity]}m{word}\33[0m", 1)
        print(line, file=sys.stderr)


def _json_line(data: dict[str, object]) -> str:
    import json  # few runs print any

    # The name of a file may have bytes that are no text, which JSON cannot say; the rest is made ASCII, for
    # standard error may have any encoding.
    text = json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return re.sub(r"[^\x00-\x7f]", lambda character: json.dumps(character[0])[1:-1], text)


def read_input(path: str) -> bytes:
    """The bytes of the file at `path`, or of standard input for `-`; BpfasError when it can't be read.

    What is no regular file may have no end, as /dev/zero; of that at most MOST_OF_A_STREAM bytes are read.
    """
    try:
        if path == STANDARD_STREAM:
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read()
            contents = file.read(MOST_OF_A_STREAM + 1)
    except OSError as error:
        raise BpfasError.of(f"cannot read {path}: {error.strerror}") from error
    if len(contents) > MOST_OF_A_STREAM:
        raise BpfasError.of(f"cannot read {path}: it is no file, and gives more than {MOST_OF_A_STREAM} bytes")
    return contents


def map_input(path: str) -> memoryview:
    """The bytes of an input as `read_input` gives them, of which only those are read that somebody looks at.

    A file must not become shorter as long as that is so, or the process ends.
    """
    # What cannot be mapped is read, or `read_input` says why not.
    with contextlib.suppress(OSError, ValueError):
        if path != STANDARD_STREAM and os.path.isfile(path) and os.path.getsize(path) >= _WORTH_MAPPING:
            import mmap

            with open(path, "rb") as file:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return memoryview(read_input(path))


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
            with open(path, "wb") as file:
                file.write(contents)
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


def refuse_same_output(paths: Iterable[str]) -> None:
    """Raise BpfasError if two of the outputs `paths` are the same file, or standard output."""
    seen: set[str] = set()
    for path in paths:
        is_file = path == STANDARD_STREAM or os.path.isfile(path) or not os.path.lexists(path)
        name = path if path == STANDARD_STREAM else os.path.realpath(path)
        if is_file and name in seen:
            raise BpfasError.of(f"{path} is the file of two outputs")
        seen.add(name)


def _replace_file(path: str, contents: bytes) -> None:
    try:
        mode = os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    replace_file(path, contents, mode)


def run(program: str, command: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """Run `command` on `arguments` (default: the process's), response files expanded; give its exit status.

    What the input is to blame for is printed to standard error, and the status is 1.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of symbols need not be text
    # A command makes much, keeps it and ends soon; looking for garbage in it only takes time.
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        words = expand_response_files(words)
        status = command(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BpfasError as error:
        found = error.diagnostics
    except BrokenPipeError:
        _discard_standard_output()  # whoever read it has gone
        return 1
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            found = [Diagnostic(Severity.ERROR, "too many files are open", None, ("raise the limit: ulimit -n",))]
        else:
            found = [Diagnostic(Severity.ERROR, f"cannot write the output: {error.strerror}")]
            _discard_standard_output()
    except UnicodeEncodeError as error:
        message = f"cannot write the output: {error}; set PYTHONIOENCODING=utf-8"
        found = [Diagnostic(Severity.ERROR, message)]
    except KeyboardInterrupt:
        return 130
    except RecursionError:
        found = [Diagnostic(Severity.ERROR, "the input is nested too deeply")]
    except MemoryError:
        found = [Diagnostic(Severity.ERROR, "there is not enough memory for this input")]
    finally:
        if was_collecting:
            gc.enable()
    report(program, found, as_json=wants_json(words))
    return 1


def refuse_warnings(warnings: Sequence[Diagnostic]) -> None:
    """Raise BpfasError with `warnings` if there are any, as --fatal-warnings asks for."""
    if warnings:
        what = "the warning for an error" if len(warnings) == 1 else f"the {len(warnings)} warnings for errors"
        raise BpfasError([*warnings, Diagnostic(Severity.ERROR, f"--fatal-warnings takes {what}")])


def wants_json(words: Sequence[str]) -> bool:
    """Whether the arguments ask for messages as JSON, even if they are wrong otherwise."""
    return JSON_OPTION in words[: words.index("--") if "--" in words else None]


def _discard_standard_output() -> None:
    """Let what is left in the buffer go nowhere, so that the flush at exit has nothing to say."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
