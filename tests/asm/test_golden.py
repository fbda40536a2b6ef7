"""Sources beside what they become: `x.s` with `x.d`, a dump by bpf-objdump, or with `x.l`, bpf-as's messages.

A source's first lines give the options: `#as: …`, `#objdump: …`; without the latter the source is wrong and has
an `x.l`. `#expect: y.d` names another file than its own. --update-golden writes the files anew.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfas.asm.cli import main as bpf_as
from bpfas.objdump.cli import main as bpf_objdump

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "golden"
SOURCES = sorted(GOLDEN.glob("*.s"))


def header(source: Path) -> dict[str, str]:
    """The options in a source's first lines."""
    return dict(re.findall(r"^#(as|objdump|expect): *(.*)$", source.read_text(), re.MULTILINE))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_source(
    source: Path,
    golden: Callable[[Path, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = header(source)
    name = f"{source.stem}.s"
    (tmp_path / name).write_text(source.read_text())
    monkeypatch.chdir(tmp_path)
    status = bpf_as([*options["as"].split(), name, "-o", "golden.o"])
    messages = capsys.readouterr().err
    if "objdump" not in options:
        assert status == 1
        golden(source.with_suffix(".l"), messages)
        return
    assert (status, messages) == (0, "")
    assert bpf_objdump([*options["objdump"].split(), "golden.o"]) == 0
    golden(GOLDEN / options.get("expect", f"{source.stem}.d"), capsys.readouterr().out)


def test_every_expectation_has_its_source() -> None:
    named = {header(source).get("expect") for source in SOURCES} - {None}
    expectations = [path for path in GOLDEN.iterdir() if path.suffix in (".d", ".l")]
    assert expectations
    for path in expectations:
        assert path.with_suffix(".s").exists() or path.name in named
