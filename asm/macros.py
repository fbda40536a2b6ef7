"""The text of macros: where a definition ends, what a call's arguments are, and what the body becomes.

As in GNU as (manual, "Macro", "Altmacro", "Irp", "Irpc", "Rept"), with what LLVM adds where it does not contradict
it: `.endmacro`, and `\\+` in repeated blocks. All is text to text; when a definition holds, which macros there are
and the reading of what they become is the assembler's part. Texts have no comments any more.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfas.asm.feed import MacroError
from bpfas.asm.macro_arguments import NAME_CHARACTER, AlternateMode, ArgumentReader
from bpfas.asm.macro_body import Template, loop_template, macro_template
from bpfas.asm.source import statement_places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a macro; one that `is_vararg` takes all arguments that are left."""

    name: str
    default: str = ""
    is_required: bool = False
    is_vararg: bool = False


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro: its name as written (GNU as does not tell upper from lower case here), parameters and body."""

    name: str
    parameters: tuple[Parameter, ...]
    body: str
    _templates: dict[bool, Template] = field(default_factory=dict, init=False, repr=False, compare=False)

    def template(self, *, is_alternate: bool) -> Template:
        """The body taken apart, once for all calls in the same mode."""
        if is_alternate not in self._templates:
            names = [parameter.name for parameter in self.parameters]
            self._templates[is_alternate] = macro_template(self.body, names, is_alternate=is_alternate)
        return self._templates[is_alternate]


# Blocks: where they end.


@dataclass(frozen=True, slots=True)
class _Block:
    """A kind of block: the directive found in a statement after labels, and the names that end such a block."""

    directive: re.Pattern[str]
    statement: re.Pattern[str]
    ends: frozenset[str]


def _block(openers: Sequence[str], ends: Sequence[str]) -> _Block:
    directive = rf"\.(?:{'|'.join((*openers, *ends))})(?!{NAME_CHARACTER})"
    # A label may be made of parameters: `loop\@:`.
    label = rf"(?:{NAME_CHARACTER}|[\\@()+&])++\s*+::?\s*+"
    return _Block(
        re.compile(directive, re.IGNORECASE),
        re.compile(rf"(?:{label})*+(?P<directive>{directive})", re.IGNORECASE),
        frozenset(f".{name}" for name in ends),
    )


_REPETITIONS = ("rept", "rep", "irp", "irpc", "irep", "irepc")
_BLOCKS = {".macro": _block(["macro"], ["endm", "endmacro"])}
_BLOCKS |= dict.fromkeys((f".{name}" for name in _REPETITIONS), _block(_REPETITIONS, ["endr"]))


def find_block_end(text: str, start: int, end: int, opener: str) -> tuple[int, int] | None:
    """Where the block ends that `opener` (`.macro`, `.rept`, `.irp`, `.irpc` or another name of them) has begun.

    `text[start:end]` begins after the opening statement. Gives the start and end of the statement `.endm` or
    `.endr`, or None where the block has no end. Labels before it are left to the body; what stands after the
    directive is in the statement, for the caller to refuse or, as GNU as does, to pass over.
    """
    block = _BLOCKS[opener]
    depth = 1
    while match := block.directive.search(text, start, end):
        line_start = max(start, text.rfind("\n", start, match.start()) + 1)
        line_end = text.find("\n", match.end(), end)
        line_end = end if line_end < 0 else line_end
        for first, last in statement_places(text, line_start, line_end):
            if found := block.statement.match(text, first, last):
                depth += -1 if found["directive"].lower() in block.ends else 1
                if not depth:
                    return found.start("directive"), last
        start = line_end
    return None


# Headings and calls: parameters and arguments.


def parse_heading(text: str, alternate: AlternateMode | None = None) -> tuple[str, tuple[Parameter, ...]]:
    """Name and parameters of a macro from the text behind `.macro`.

    A parameter is `name`, `name=default`, `name:req` or `name:vararg`, and a comma or a blank stands before the
    next. Raises MacroError for anything else, and for two parameters of one name.
    """
    reader = ArgumentReader(text, alternate)
    name = reader.name()
    if not name:
        raise reader.error("a macro needs a name", reader.at)
    parameters: dict[str, Parameter] = {}
    start = reader.at
    after_comma = reader.skip_comma()
    while not reader.at_end:
        start = reader.at
        parameter = _parameter(reader)
        if parameter.name in parameters:
            raise reader.error(f"macro `{name}` has two parameters `{parameter.name}`", start)
        parameters[parameter.name] = parameter
        start = reader.at
        after_comma = reader.skip_comma()
        if parameter.is_vararg and after_comma:
            raise reader.error(f"`{parameter.name}:vararg` must be the last parameter", start)
    if after_comma:
        raise reader.error("expected a parameter after the comma", start)
    return name, tuple(parameters.values())


def _parameter(reader: ArgumentReader) -> Parameter:
    start = reader.at
    name = reader.name()
    if not name:
        reader.rest()
        raise reader.error("expected the name of a parameter", start)
    qualifier = ""
    if reader.skip(":"):
        qualifier = reader.name()
        if qualifier not in ("req", "vararg"):
            raise reader.error(f"a parameter may be `:req` or `:vararg`, not `:{qualifier}`", start)
    default = reader.argument() if reader.skip("=") else ""
    # A required parameter has no use for its default, and GNU as drops it.
    is_required = qualifier == "req"
    return Parameter(name, "" if is_required else default, is_required, qualifier == "vararg")


def bind_arguments(macro: Macro, text: str, alternate: AlternateMode | None = None) -> dict[str, str]:
    """The text that each parameter stands for in a call, from what stands behind the macro's name.

    An empty argument is as good as none: the default takes its place. Of two values for one parameter the last
    holds. Raises MacroError for arguments that do not suit the parameters, and what `alternate.evaluate` raises.
    """
    reader = ArgumentReader(text, alternate)
    given: dict[str, str] = dict.fromkeys((parameter.name for parameter in macro.parameters), "")
    positional = iter(macro.parameters)
    keyword = ""
    while not reader.at_end:
        start = reader.at
        name = reader.keyword()
        if name and name not in given:
            raise reader.error(f"macro `{macro.name}` has no parameter `{name}`", start)
        if name:
            keyword = name
            given[name] = reader.argument()
        else:
            parameter = next(positional, None)
            if keyword or not parameter:
                reader.argument()
            if keyword:
                raise reader.error(f"an argument without a name after one with a name, `{keyword}=`", start)
            if not parameter:
                raise reader.error(f"macro `{macro.name}` takes {_count(macro.parameters)}, not more", start)
            given[parameter.name] = reader.rest() if parameter.is_vararg else reader.argument()
        reader.skip_comma()
    for parameter in macro.parameters:
        if parameter.is_required and not given[parameter.name]:
            raise MacroError(f"macro `{macro.name}` needs a value for its parameter `{parameter.name}`")
    return {parameter.name: given[parameter.name] or parameter.default for parameter in macro.parameters}


def _count(parameters: tuple[Parameter, ...]) -> str:
    return f"{len(parameters)} argument{'' if len(parameters) == 1 else 's'}"


def parse_irp(text: str, alternate: AlternateMode | None = None) -> tuple[str, tuple[str, ...]]:
    """Parameter and values of `.irp` from the text behind it; one empty value where none is given.

    Raises MacroError where the parameter is missing, and for what is no argument.
    """
    reader = ArgumentReader(text, alternate)
    name = _loop_parameter(reader, ".irp")
    values: list[str] = []
    while not reader.at_end:
        values.append(reader.argument())
        reader.skip_comma()
    return name, tuple(values) or ("",)


def parse_irpc(text: str) -> tuple[str, tuple[str, ...]]:
    """Parameter and characters of `.irpc` from the text behind it; one empty value where no text is given.

    Blanks count in a text in quotes alone. Raises MacroError where the parameter is missing, and for quotes that
    are not about the whole text.
    """
    reader = ArgumentReader(text, None)
    name = _loop_parameter(reader, ".irpc")
    start = reader.at
    characters = reader.rest()
    if len(characters) > 1 and characters[0] == '"' == characters[-1]:
        values = tuple(characters[1:-1])
    else:
        values = tuple(characters.replace(" ", "")) or ("",)
    if '"' in values:
        raise reader.error("the quotes must be about the whole text, and none within it", start)
    return name, values


def _loop_parameter(reader: ArgumentReader, directive: str) -> str:
    name = reader.name()
    if not name:
        raise reader.error(f"{directive} needs the name of a parameter", reader.at)
    reader.skip_comma()
    return name


# Bodies: what they become.


def expand(
    macro: Macro, arguments: Mapping[str, str], executed: int, calls: int, alternate: AlternateMode | None = None
) -> str:
    r"""What the call of a macro becomes: its body with `arguments`, as `bind_arguments` gives them, put in.

    `executed` is how many calls of macros there were before, for `\@`, and `calls` how many of this one, for `\+`.
    The text has as many lines as the body. Raises MacroError for `\(` without `)` and for a `LOCAL` that does not
    name new symbols, with places in the body.
    """
    template = macro.template(is_alternate=alternate is not None)
    values = {**arguments, "@": str(executed), "+": str(calls)}
    if alternate:
        values.update((name, alternate.new_local()) for name in template.local_names)
    return template.fill(values)


def expand_loop(
    body: str, name: str, values: Sequence[str], executed: int, alternate: AlternateMode | None = None
) -> Iterator[str]:
    r"""What `.irp` or `.irpc` becomes: the body for one value of the parameter `name` after the other.

    `executed` is how many calls of macros there were before, for `\@`; `\+` is the number of values before.
    Raises MacroError for `\(` without `)`, with its place in the body.
    """
    template = loop_template(body, name, is_alternate=alternate is not None)
    return (
        template.fill({name: value, "@": str(executed), "+": str(iteration)})
        for iteration, value in enumerate(values)
    )


def expand_repetition(body: str, count: int) -> Iterator[str]:
    r"""What `.rept` becomes: the body `count` times, where only `\+`, the number of times before, is replaced."""
    if "\\+" not in body:
        return itertools.repeat(body, count)
    return (body.replace("\\+", str(iteration)) for iteration in range(count))
