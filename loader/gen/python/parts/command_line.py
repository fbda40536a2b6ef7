"""The module as a command: load, attach, wait until interrupted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bpfas.loader.gen.python.parts.kernel import BpfError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class UsageError(Exception):
    """What cannot be done with an object."""


def run_command(open_object: Callable[[], Any], words: str) -> int:
    """Do what the command line says; the status to exit with."""
    import argparse

    parser = argparse.ArgumentParser(
        description=f"{words} Loads it, attaches what says to what, and waits until it is interrupted.",
    )
    add = parser.add_argument
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="the value a variable starts with")
    add("--map", action="append", default=[], metavar="MAP.max_entries=N", help="the size of a map")
    add(
        "--attach",
        action="append",
        default=[],
        metavar="PROGRAM[,NAME=VALUE...]",
        help="attach a program, with what its attach() takes (--info lists it); then nothing else is attached",
    )
    add("--target", action="append", default=[], metavar="PROGRAM=ID|PIN", help="what a freplace program is for")
    add("--token", default="", metavar="DIR", help="make a token of this BPF file system")
    add("--keyring", help="verify the signature with the keys of this keyring (session, user, builtin, a number)")
    add("--pin", metavar="DIR", help="keep maps and programs in this directory of a BPF file system, and exit")
    add("--log", type=int, default=0, metavar="LEVEL", help="print the kernel's log: 1, 2 for more, 4 for figures")
    add("--info", action="store_true", help="print what is in the object, and load nothing")
    arguments = parser.parse_args()
    try:
        with open_object() as skeleton:
            for text in arguments.set:
                set_variable(skeleton, text)
            for text in arguments.map:
                set_map(skeleton, text)
            for text in arguments.target:
                set_target(skeleton, text)
            if arguments.token:
                set_token(skeleton, arguments.token)
            if arguments.keyring:
                set_keyring(skeleton, arguments.keyring)
            if arguments.info:
                print(info_text(skeleton))
                return 0
            skeleton.load(arguments.log)
            if skeleton.log:
                print(skeleton.log, file=sys.stderr)
            if arguments.pin:
                skeleton.pin(arguments.pin)
                return 0
            for text in arguments.attach:
                attach_program(skeleton, text)
            if not arguments.attach:
                skeleton.attach()
            wait(skeleton)
    except (BpfError, UsageError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def wait(skeleton: Any) -> None:
    """Say what is attached, and sleep until a signal says to end."""
    import signal

    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    print("\n".join(attachment_lines(skeleton)), flush=True)
    signal.sigwait(ends)


def attachment_lines(skeleton: Any) -> list[str]:
    """What is attached, and what is to be attached otherwise."""
    owners = (*skeleton.progs, *skeleton.maps)
    lines = [f"attached {link.words}" for each in owners for link in getattr(each, "links", ())]
    is_attached = bool(lines)
    called = [
        program
        for each in skeleton.maps
        if getattr(each, "links", ())
        for program in getattr(each, "programs", {}).values()
    ]
    for each in skeleton.progs:
        is_left = each.fd >= 0 and not each.links and getattr(each, "is_attachable", False)
        if is_left and each not in called:
            lines.append(f"not attached {each.name}, which this module does not do: {each.remedy}")
    if not is_attached:
        lines.append("loaded; nothing says by itself to what it is attached (--attach)")
    return lines


def parsed(text: str) -> Any:
    """A value as Python writes it; other text is text."""
    import ast

    try:
        return {"true": True, "false": False}[text] if text in ("true", "false") else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def split_assignment(text: str) -> tuple[str, str]:
    """`NAME=VALUE` in its parts."""
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise UsageError(f"'{text}' is to be NAME=VALUE")
    return name, value


def set_variable(skeleton: Any, text: str) -> None:
    """Set what is called NAME, or SECTION.NAME; members and elements follow: point.x, table.2."""
    name, value = split_assignment(text)
    sections = skeleton.sections
    found = []
    for section in sections:
        rest = name[len(section) + 1 :] if name.startswith(f"{section}.") else name
        for variable in sections[section]:  # names have dots themselves
            if rest == variable or rest.startswith(f"{variable}."):
                found.append((section, variable, rest[len(variable) + 1 :]))
    found.sort(key=lambda each: -len(each[1]))
    longest = [each for each in found if len(each[1]) == len(found[0][1])]
    if len(longest) != 1:
        known = ", ".join(f"{section}.{each}" for section in sections for each in sections[section])
        several = f"stands for several: {', '.join(f'{section}.{each}' for section, each, _ in longest)}"
        raise UsageError(f"variable '{name}' {several if longest else f'is none of {known}'}")
    section, variable, members = longest[0]
    words = [variable, *(members.split(".") if members else ())]
    place: Any = sections[section]
    keys: list[Any] = [int(word) if word.isdigit() else word for word in words]
    try:
        for key in keys[:-1]:
            place = place[key]
        given = value if isinstance(place[keys[-1]], str) else parsed(value)
        place[keys[-1]] = given
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise UsageError(f"--set {text}: {error}") from None


def set_map(skeleton: Any, text: str) -> None:
    """Set MAP.max_entries=N."""
    name, value = split_assignment(text)
    map_name, _, field = name.rpartition(".")
    if map_name not in skeleton.maps or field != "max_entries":
        known = ", ".join(f"{each.name}.max_entries" for each in skeleton.maps if each.is_sized)
        remedy = f"it is to be one of {known}, = a number" if known else "there is no map whose size can be set"
        raise UsageError(f"--map {text}: {remedy}")
    try:
        skeleton.maps[map_name].max_entries = int(value, 0)
    except ValueError as error:
        raise UsageError(f"--map {text}: {error}") from None


def set_target(skeleton: Any, text: str) -> None:
    """Set PROGRAM=ID or PROGRAM=PIN."""
    name, value = split_assignment(text)
    if name not in skeleton.progs or not hasattr(skeleton.progs[name], "set_target"):
        raise UsageError(f"--target {text}: there is no freplace program '{name}'")
    if value.isdigit():
        skeleton.progs[name].set_target(id=int(value))
    else:
        skeleton.progs[name].set_target(pin=value)


def set_token(skeleton: Any, path: str) -> None:
    """Have a token made."""
    if not hasattr(skeleton, "token"):
        raise UsageError("--token: the loader program is not made for tokens")
    skeleton.token.path = path


def set_keyring(skeleton: Any, keyring: str) -> None:
    """Have the signature verified."""
    if not hasattr(skeleton.loader, "keyring"):
        raise UsageError("--keyring: the loader program is not signed")
    skeleton.loader.keyring = int(keyring) if keyring.lstrip("-").isdigit() else keyring


def attach_program(skeleton: Any, text: str) -> None:
    """Attach PROGRAM,NAME=VALUE,..."""
    name, *settings = text.split(",")
    if name not in skeleton.progs:
        raise UsageError(f"--attach {text}: there is no program '{name}', only {skeleton.progs}")
    keywords = {key: parsed(value) for key, value in map(split_assignment, settings)}
    program = skeleton.progs[name]
    import inspect

    try:
        inspect.signature(program.attach).bind(**keywords)
    except TypeError as error:
        form = attach_form(program)
        reason = f"say --attach {form}" if form else "it is not attached by this module"
        raise UsageError(f"--attach {text}: {error}; {reason}") from None
    if keywords.get("map") in skeleton.maps:
        keywords["map"] = skeleton.maps[keywords["map"]]
    try:
        program.attach(**keywords)
    except (TypeError, ValueError) as error:
        raise UsageError(f"--attach {text}: {error}") from None


def attach_form(program: Any) -> str:
    """What --attach takes for a program; empty for one that this module does not attach."""
    import inspect

    if hasattr(program, "remedy"):
        return ""
    text = str(program.name)
    for each in inspect.signature(program.attach).parameters.values():
        if isinstance(each.default, tuple):
            continue  # several values cannot be said between commas
        is_needed = each.default is each.empty
        words = "|".join(program.choices.get(each.name, ()))
        words = words or str("..." if is_needed or not each.default else each.default)
        text += f",{each.name}={words}" if is_needed else f"[,{each.name}={words}]"
    return text


def info_text(skeleton: Any) -> str:
    """What is in the object."""
    lines = [f"object {skeleton.name}"]
    for each in skeleton.maps:
        types = (("key", each.key), ("value", each.value))
        sizes = "".join(f"{words} {type_.size}, " for words, type_ in types if type_ is not None)
        lines.append(f"map {each.name}: {each.type}, {sizes}max_entries {each.max_entries}")
    for each in skeleton.progs:
        lines.append(f"program {each.name}: section {each.section}")
        form = attach_form(each)
        lines += [f"  --attach {form}"] if form else []
    for name, section in skeleton.sections.items():
        lines += [f"variable {name}.{each} = {section[each]!r}" for each in section]
    return "\n".join(lines)
