"""What `import bpfas` offers: the same names whatever else was imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bpfas


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import bpfas.link",
        "from bpfas.link.linker import link",
        "bpfas.assemble('exit')",
        "import bpfas.loader",
    ],
)
def test_linking_is_a_function_in_every_order_of_imports(before: str) -> None:
    code = f"import bpfas\n{before}\nprint(bpfas.link(bpfas.assemble('.globl f\\nf: exit'), name='app').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("app\n", "")


def test_every_name_is_there() -> None:
    for name in bpfas.__all__:
        assert callable(getattr(bpfas, name)), name


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="module 'bpfas' has no attribute 'unlink'"):
        _ = bpfas.unlink
