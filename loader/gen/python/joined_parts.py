"""The parts of `bpfas.loader.gen.python.parts` put together as the text of one module."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_FOLDER = Path(__file__).parent / "parts"
_PACKAGE = "bpfas.loader.gen.python.parts."


class Part(NamedTuple):
    """A part as it is read: its own text, what it imports, and the names that it defines.

    `imports` are names of modules, `typing_imports` names by module that only annotations use, `typing_lines` what
    else is for annotations alone, `needs` the parts that come before it.
    """

    title: str
    text: str
    imports: tuple[str, ...]
    typing_imports: tuple[tuple[str, str], ...]
    typing_lines: tuple[str, ...]
    needs: tuple[str, ...]
    names: frozenset[str]


def all_parts() -> list[str]:
    """The names of all parts."""
    return sorted(path.stem for path in _FOLDER.glob("[!_]*.py"))


@functools.cache
def read_part(name: str) -> Part:
    """The part called `name`."""
    source = (_FOLDER / f"{name}.py").read_text()
    tree = ast.parse(source)
    title = (ast.get_docstring(tree) or "").partition("\n\n")[0].replace("\n", " ")
    reader = _Reader()
    start = 0
    names: set[str] = set()
    for node in tree.body:
        if _is_head(node):
            reader.read(node)
            start = node.end_lineno or 0
        else:
            names.update(_defined(node))
    text = "\n".join(source.splitlines()[start:]).strip("\n")
    return Part(
        title,
        text,
        tuple(reader.imports),
        tuple(reader.typing_imports),
        tuple(reader.typing_lines),
        tuple(reader.needs),
        frozenset(names),
    )


def _is_head(node: ast.stmt) -> bool:
    """Whether a statement is the docstring or an import."""
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    is_for_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return is_docstring or is_for_typing or isinstance(node, ast.Import | ast.ImportFrom)


def _defined(node: ast.stmt) -> Iterable[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


class _Reader:
    """What the head of a part says."""

    def __init__(self) -> None:
        self.imports: list[str] = []
        self.typing_imports: list[tuple[str, str]] = []
        self.typing_lines: list[str] = []
        self.needs: list[str] = []

    def read(self, node: ast.stmt) -> None:
        """Take an import, or what is for annotations alone."""
        if isinstance(node, ast.Import):
            self.imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(_PACKAGE):
            self.needs.append(node.module.removeprefix(_PACKAGE))
        elif isinstance(node, ast.If):
            for inner in node.body:
                self._read_for_typing(inner)

    def _read_for_typing(self, node: ast.stmt) -> None:
        if not isinstance(node, ast.ImportFrom):
            self.typing_lines.append(ast.unparse(node).replace("'", '"'))
        elif node.module and node.module.startswith(_PACKAGE):
            self.needs.append(node.module.removeprefix(_PACKAGE))
        else:
            self.typing_imports += [(node.module or "", alias.name) for alias in node.names]


def with_needs(names: Iterable[str]) -> list[str]:
    """These parts and all that they need, in an order in which each comes behind what it needs."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name not in ordered:
            for each in read_part(name).needs:
                visit(each)
            ordered.append(name)

    for name in names:
        visit(name)
    return ordered


def names_of(parts: Iterable[str]) -> set[str]:
    """All names that these parts define or import."""
    found: set[str] = set()
    for name in parts:
        part = read_part(name)
        found |= part.names | set(part.imports) | {name for _, name in part.typing_imports}
    return found


def head_text(parts: Iterable[str]) -> str:
    """The imports of these parts."""
    read = [read_part(name) for name in parts]
    imports = sorted({name for part in read for name in part.imports})
    for_typing: dict[str, set[str]] = {}
    for part in read:
        for module, name in part.typing_imports:
            for_typing.setdefault(module, set()).add(name)
    lines = [f"import {name}" for name in imports]
    lines += ["", "TYPE_CHECKING = False  # typing takes long to import"]
    lines.append("if TYPE_CHECKING:")
    lines += [f"    from {module} import {', '.join(sorted(for_typing[module]))}" for module in sorted(for_typing)]
    others = sorted({line for part in read for line in part.typing_lines})
    lines += ["", *(f"    {line}" for line in others)] if others else []
    return "\n".join(lines)


def body_text(parts: Iterable[str]) -> str:
    """What these parts define, each behind its title."""
    return "\n\n\n".join(f"# {read_part(name).title}\n\n\n{read_part(name).text}" for name in parts)
