"""Loads by a Python module that was made of a loader program, says the descriptors, closes them when sent a line.

    python3 -I -S use_module.py MODULE [PROGRAM=ID…]

What is said ends with `.`; see processes.py. A program that replaces a function is told whose by that one's id.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any


def wait_for_a_line() -> None:
    print(".", flush=True)
    sys.stdin.readline()


def main() -> None:
    spec = importlib.util.spec_from_file_location("made", sys.argv[1])
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.open() as skel:
        for argument in sys.argv[2:]:
            name, _, number = argument.partition("=")
            skel.progs[name].set_target(id=int(number))
        try:
            skel.load()
        except module.LoadError as error:
            print("error", error.errno, error.step)
            for line in error.log.splitlines():
                print("log", line)
        for each in skel.maps:
            print("map", each.name, max(each.fd, 0))
        for each in skel.progs:
            print("program", each.name, max(each.fd, 0))
        wait_for_a_line()
    wait_for_a_line()


if __name__ == "__main__":
    main()
