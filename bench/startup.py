"""A program of 100 lines through the whole bpf-as process, beside GNU as and a Python that does nothing.

    python -m bench.startup [--rounds N]

It is seconds on a processor that are compared, user and system together. A first run, which does not count,
fills the cache.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from bench.assemble import PEERS, program
from bench.measure import compare, keep_bytecode, report_against
from bpfas.isa import Dialect

LINES = 100
_NOTHING = "python -c pass"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    ours = str(Path(sys.executable).parent / "bpf-as")
    peer, command = PEERS[Dialect.NORMAL]
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        keep_bytecode(directory)
        source, output = os.path.join(directory, "small.s"), os.path.join(directory, "out.o")
        Path(source).write_text(program(LINES - 3, Dialect.NORMAL))
        commands = {
            _NOTHING: [sys.executable, "-c", "pass"],
            "bpf-as": [ours, "-EL", source, "-o", output],
            peer: [*command, source, "-o", output],
        }
        present = {name: words for name, words in commands.items() if os.path.exists(words[0])}
        print(f"{LINES} lines, {given.rounds} rounds:")
        report_against(compare(present, given.rounds), _NOTHING)
    return 0


if __name__ == "__main__":
    sys.exit(main())
