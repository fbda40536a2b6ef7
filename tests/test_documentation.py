"""What the documents show is what happens: the tour, the error messages, the pages made from tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_in_shell(script: str, directory: Path) -> str:
    """What a script prints to both its outputs; our commands come first on its path."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["/bin/bash", "-c", script]
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.kernel
def test_the_tour_works_when_pasted(tmp_path: Path) -> None:
    (tour,) = blocks(README, "sh")
    output = run_in_shell(tour, tmp_path)
    assert "count returned 2 (XDP_PASS)" in output
    assert "00 00 00 00: 03 00 00 00 00 00 00 00" in output
    (program,) = blocks(README, "python")
    output = run_in_shell(f"python - <<'EOF'\n{program}\nEOF", tmp_path)
    assert output == "2 b'\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\n"


@pytest.mark.kernel
def test_the_python_of_the_loading_page_works(tmp_path: Path) -> None:
    (tour,) = blocks(README, "sh")
    run_in_shell(tour, tmp_path)
    (program,) = blocks((ROOT / "docs" / "loading.md").read_text(encoding="utf-8"), "python")
    output = run_in_shell(f"python - <<'EOF'\n{program}\nEOF", tmp_path)
    assert output.splitlines()[-1] == "00000000 0700000000000000"


def test_the_errors_in_the_readme_are_those_that_are_printed(tmp_path: Path) -> None:
    (text,) = blocks(README, "text")
    command, *expected = text.splitlines(keepends=True)
    (tmp_path / "wrong.s").write_text("addd %r1, 5\nmov  %r1, 5000000000\n")
    assert run_in_shell(command.removeprefix("$ "), tmp_path) == "".join(expected)
    assert not (tmp_path / "wrong.o").exists()


@pytest.mark.parametrize("page", ["instructions.md", "helpers.md"])
def test_a_page_made_from_a_table_is_that_table(page: str) -> None:
    generate = ROOT / "docs" / "generate.py"
    code = f"import runpy; print(runpy.run_path({str(generate)!r})['PAGES'][{page!r}](), end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_every_document_that_a_document_points_to_exists() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
