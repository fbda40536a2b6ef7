"""Random programs of several files, and what they compute.

Functions, variables and maps are spread over two to four files: defined once and strong, or weak in some files
with or without a strong definition elsewhere, hidden or not, beside static ones that have the same names in all
files. What a program gives is computed here from the same description, by the rules of C and of weak symbols.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

MASK = 0xFFFFFFFF
MAX_DEPTH = 5
"""How deep calls nest: the kernel allows eight frames."""

PRELUDE = """\
#define SEC(name) __attribute__((section(name), used))
#define __weak __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
#define __noinline __attribute__((noinline))
#define __uint(name, value) int (*name)[value]
#define __type(name, type) typeof(type) *name
static void *(*const lookup)(void *map, const void *key) = (void *)1;
static long (*const update)(void *map, const void *key, const void *value, unsigned long long flags) = (void *)2;
char LICENSE[] SEC("license") = "GPL";
"""
SECTIONS = ("", 'SEC(".data.one")', 'SEC(".data.two")')
TYPES = {"unsigned char": 0xFF, "unsigned short": 0xFFFF, "unsigned": MASK, "unsigned long long": (1 << 64) - 1}


@dataclass(slots=True)
class Step:
    """`r = r OPERATOR operand`, where the operand is a number or what a name stands for."""

    operator: str
    kind: str
    name: str = ""
    number: int = 0


@dataclass(slots=True)
class Definition:
    """One of the definitions of a name."""

    file: int
    is_weak: bool
    steps: list[Step] = field(default_factory=list)
    value: int = 0


@dataclass(slots=True)
class Name:
    """A function, variable or map that all files know; `definitions` in no order."""

    name: str
    kind: str
    definitions: list[Definition]
    depth: int = 0
    c_type: str = ""
    section: str = ""
    is_constant: bool = False
    is_hidden: bool = False

    def winner(self, order: list[int]) -> Definition:
        """The one definition that counts when the files are linked in this order."""
        return min(self.definitions, key=lambda one: (one.is_weak, order.index(one.file)))


class RandomProgram:
    """A program: its files' sources, and what its entry in each file returns."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self.files = self._random.randint(2, 4)
        self._names: dict[str, Name] = {}
        self._statics: dict[tuple[int, str], Definition] = {}
        for number in range(self._random.randint(2, 8)):
            self._add_variable(f"variable_{number}")
        for number in range(self._random.randint(0, 3)):
            self._names[f"map_{number}"] = Name(f"map_{number}", "map", self._definitions())
        for file in range(self.files):
            self._statics[file, "state"] = Definition(file, False, value=self._random.randrange(1000))
            self._statics[file, "table"] = Definition(file, False, value=self._random.randrange(1000))
            self._statics[file, "helper"] = Definition(file, False, self._steps(None))
        for number in range(self._random.randint(2, 9)):
            self._add_function(f"function_{number}")
        self._entries = [self._steps(MAX_DEPTH) for _ in range(self.files)]

    def _definitions(self) -> list[Definition]:
        """Where something is defined: once and strong, or in some files, and strong in at most one of them."""
        files = self._random.sample(range(self.files), self._random.choice((1, 1, 1, 2, self.files)))
        strong = self._random.choice((files[0], files[0], None))
        return [Definition(file, file != strong, value=self._random.randrange(200)) for file in files]

    def _add_variable(self, name: str) -> None:
        chosen = Name(name, "variable", self._definitions())
        chosen.c_type = self._random.choice(list(TYPES))
        chosen.is_constant = self._random.random() < 0.25
        chosen.is_hidden = self._random.random() < 0.2
        if not chosen.is_constant:
            chosen.section = self._random.choice(SECTIONS)
        if not chosen.section and not chosen.is_constant and self._random.random() < 0.3:
            for definition in chosen.definitions:
                definition.value = 0  # all in .bss: a name must be in one section
        elif not chosen.section:
            for definition in chosen.definitions:
                definition.value += 1
        self._names[name] = chosen

    def _add_function(self, name: str) -> None:
        definitions = self._definitions()
        depth = self._random.randint(2, MAX_DEPTH)
        for definition in definitions:
            definition.steps = self._steps(depth)
        is_hidden = self._random.random() < 0.2
        self._names[name] = Name(name, "function", definitions, depth=depth, is_hidden=is_hidden)

    def _steps(self, depth: int | None) -> list[Step]:
        """A body: calls only functions of a smaller depth; a static helper's body (no depth) calls none."""
        steps = []
        for _ in range(self._random.randint(1, 6)):
            operator = self._random.choice(("+", "-", "*", "^"))
            choices = [Step(operator, "number", number=self._random.randrange(1, 1 << 16))]
            choices += [
                Step(operator, one.kind, one.name) for one in self._names.values() if one.kind == "variable"
            ]
            choices += [Step(operator, "state"), Step(operator, "table")]
            choices += [
                Step("", "store", one.name, self._random.randrange(1, 100))
                for one in self._names.values()
                if one.kind == "variable" and not one.is_constant
            ]
            choices += [Step(operator, "map", one.name) for one in self._names.values() if one.kind == "map"]
            if depth is not None:
                choices += [Step(operator, "helper")] * 3
                choices += [
                    Step(operator, "function", one.name)
                    for one in self._names.values()
                    if one.kind == "function" and one.depth < depth
                ] * 4
            steps.append(self._random.choice(choices))
        return steps

    def sources(self) -> list[str]:
        """The C of each file."""
        return [self._source(file) for file in range(self.files)]

    def _source(self, file: int) -> str:
        declarations, definitions = [], []
        for one in self._names.values():
            own = next((definition for definition in one.definitions if definition.file == file), None)
            weak = "__weak " if own and own.is_weak else ""
            hidden = "__hidden " if one.is_hidden else ""
            if one.kind == "function":
                declarations.append(f"{hidden}unsigned {one.name}(unsigned x);")
                if own:
                    body = _body(own.steps)
                    definitions.append(f"{weak}{hidden}__noinline unsigned {one.name}(unsigned x)\n{{\n{body}}}\n")
                continue
            if one.kind == "map":
                inside = (
                    "{ __uint(type, 1); __uint(max_entries, 8); __type(key, int); __type(value, unsigned); } "
                    f'{one.name} SEC(".maps");'
                )
                declarations.append(f"{weak}{'' if own else 'extern '}struct {inside}")
                continue
            head = f"{hidden}{'const volatile ' * one.is_constant}{one.c_type} {one.name} {one.section}"
            declarations.append(f"{weak}{head} = {own.value};" if own else f"extern {head};")
        state, table = self._statics[file, "state"].value, self._statics[file, "table"].value
        helper = _body(self._statics[file, "helper"].steps)
        statics = [
            f"static unsigned state = {state};",
            f"static const unsigned table[4] = {{ {', '.join(str(table * n) for n in range(1, 5))} }};",
            f"static __noinline unsigned helper(unsigned x)\n{{\n{helper}}}\n",
        ]
        random.Random(file).shuffle(definitions)  # noqa: S311
        body = f"\tunsigned x = {file + 1};\n{_body(self._entries[file])}"
        entry = f'SEC("xdp") int entry_{file}(void *ctx)\n{{\n{body}}}\n'
        return "\n".join([PRELUDE, *declarations, *statics, *definitions, entry])

    def expected(self, order: list[int]) -> dict[str, int]:
        """What the entries return when they run one after the other, the files being linked in this order."""
        run = _Run(self._names, self._statics, order)
        return {f"entry_{file}": run.body(file, self._entries[file], file + 1) for file in range(self.files)}


def _body(steps: list[Step]) -> str:
    lines = ["\tunsigned r = x;\n"]
    for step in steps:
        operand = {
            "number": f"{step.number}",
            "variable": f"(unsigned){step.name}",
            "state": "++state",
            "table": "table[r & 3]",
            "helper": "helper(r)",
            "function": f"{step.name}(r)",
        }.get(step.kind, "")
        if step.kind == "store":
            lines.append(f"\t{step.name} += r + {step.number};\n")
        elif step.kind == "map":
            lines.append(
                f"\t{{\n\t\tint key = r & 7;\n\t\tunsigned *old = lookup(&{step.name}, &key), now = r;\n"
                f"\t\tif (old)\n\t\t\tr = r {step.operator} *old;\n"
                f"\t\telse\n\t\t\tupdate(&{step.name}, &key, &now, 0);\n\t}}\n"
            )
        else:
            lines.append(f"\tr = r {step.operator} {operand};\n")
    return "".join([*lines, "\treturn r;\n"])


class _Run:
    """The state of a program while it runs."""

    def __init__(
        self, names: dict[str, Name], statics: dict[tuple[int, str], Definition], order: list[int]
    ) -> None:
        self._names, self._statics, self._order = names, statics, order
        self._variables = {one.name: one.winner(order).value for one in names.values()}
        self._states = {file: definition.value for (file, name), definition in statics.items() if name == "state"}
        self._maps: dict[str, dict[int, int]] = {}

    def body(self, file: int, steps: list[Step], x: int) -> int:
        """What a function of the file returns for x."""
        r = x & MASK
        for step in steps:
            if step.kind == "store":
                limit = TYPES[self._names[step.name].c_type]
                added = (r + step.number) & MASK
                self._variables[step.name] = (self._variables[step.name] + added) & limit
            elif step.kind == "map":
                contents = self._maps.setdefault(step.name, {})
                if r & 7 in contents:
                    r = _apply(r, step.operator, contents[r & 7])
                else:
                    contents[r & 7] = r
            else:
                r = _apply(r, step.operator, self._operand(file, step, r))
        return r

    def _operand(self, file: int, step: Step, r: int) -> int:
        if step.kind == "number":
            return step.number
        if step.kind == "variable":
            return self._variables[step.name]
        if step.kind == "state":
            self._states[file] = (self._states[file] + 1) & MASK
            return self._states[file]
        if step.kind == "table":
            return self._statics[file, "table"].value * ((r & 3) + 1)
        if step.kind == "helper":
            return self.body(file, self._statics[file, "helper"].steps, r)
        winner = self._names[step.name].winner(self._order)
        return self.body(winner.file, winner.steps, r)


def _apply(left: int, operator: str, right: int) -> int:
    result = {"+": left + right, "-": left - right, "*": left * right, "^": left ^ right}[operator]
    return result & MASK
