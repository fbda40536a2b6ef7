"""The parser of arguments that the commands use whose options are no other tool's."""

from __future__ import annotations

import argparse
from typing import NoReturn

from bpfas.diag import BpfasError


class ArgumentParser(argparse.ArgumentParser):
    """Reports what is wrong with the arguments as all other errors are reported."""

    def error(self, message: str) -> NoReturn:
        """Raise BpfasError."""
        raise BpfasError.of(f"{message}; try {self.prog} --help")
