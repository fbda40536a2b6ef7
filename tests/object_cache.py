"""C compiled once for all runs of the tests: objects kept by what they are made of.

A compiler takes a second to start in an emulated machine, which has the host's cache before it. An object is made
anew when its source, the options, the compiler, or a header that it included has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.peers import Peer

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bpf-as-tests" / "objects"
_PLACE = "."
"""The folder of the source in what is said about it."""


def compiled(compiler: Peer, source: str, *options: str, name: str = "app") -> Path:
    """The object of a C source, called `name`.o, in the cache; skips the running test without the compiler.

    The compiler runs in the cache's folder, so that nothing of the running test's folder is in the object.
    """
    tool = compiler.require()
    key = hashlib.sha256(repr((state(tool), source, options, _PLACE, name)).encode()).hexdigest()
    folder = FOLDER / key[:32]
    if not is_complete(folder):
        make(compiler, folder, source, options, name)
    return folder / f"{name}.o"


def make(compiler: Peer, folder: Path, source: str, options: tuple[str, ...], name: str) -> None:
    """Compile in `folder`, which appears only when the object is complete."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    work = Path(tempfile.mkdtemp(dir=FOLDER))
    try:
        (work / f"{name}.c").write_text(source)
        # The place must lead to the source now, for clang copies the lines of the source into BTF.
        where = f"-ffile-prefix-map={work}={_PLACE}"
        arguments = (*options, where, "-MD", "-MF", "headers", "-c", f"{name}.c", "-o", f"{name}.o")
        compiler.run(*arguments, directory=work)
        headers = (work / "headers").read_text().replace("\\\n", " ").split()[1:]
        (work / "states").write_text("\n".join(state(header) for header in headers if header.startswith("/")))
        try:
            work.rename(folder)
        except OSError:
            if not folder.exists():  # else another process has just made the same
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def is_complete(folder: Path) -> bool:
    """Whether an object is there, and all that it included is as it was."""
    try:
        states = (folder / "states").read_text().splitlines()
    except OSError:
        return False
    return all(recorded == state(recorded.partition(" ")[0]) for recorded in states)


def state(path: str) -> str:
    """A file by its path, size and time of change, as the file itself says, not a link to it."""
    try:
        facts = os.stat(path)
    except OSError:
        return f"{path} missing"
    return f"{path} {facts.st_size} {facts.st_mtime_ns}"
