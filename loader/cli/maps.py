"""`bpf-load maps`: the maps that are in the kernel: listed, dumped, and their elements read and changed.

Keys and values are typed through the BTF that the kernel keeps of a map. Values that stand for programs or maps
(in a prog array, in a map of maps) are given as these are named elsewhere.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from bpfas.btf.kinds import Kind
from bpfas.diag import BpfasError
from bpfas.loader.cli.common import command_parser, print_json, split_action
from bpfas.loader.cli.interruption import interruptible
from bpfas.loader.cli.messages import DONE, NotThereError
from bpfas.loader.cli.pins import pins_by_id
from bpfas.loader.cli.reference import FORMS, open_map, open_program
from bpfas.loader.cli.report import event_lines
from bpfas.loader.cli.table import table
from bpfas.loader.cli.values import (
    element_json,
    element_lines,
    elements_json,
    parse_value,
    value_lines,
)
from bpfas.loader.kinds import MAPS_OF_MAPS, MapType, UpdateFlag, map_flag_names, map_type_name
from bpfas.loader.runtime.listing import list_maps
from bpfas.loader.runtime.opening import ObjectKind

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from bpfas.loader.runtime.maps import Map
    from bpfas.loader.syscall import MapInfo

_DESCRIPTION = """\
Maps in the kernel. MAP is id:N, the path of a pin, or a name.

  bpf-load maps [list] [MAP...]         all maps, or these
  bpf-load maps dump MAP                all elements
  bpf-load maps lookup MAP [KEY]        an element; the next value of a queue or stack
  bpf-load maps update MAP KEY VALUE    set an element
  bpf-load maps delete MAP KEY...       take elements out
  bpf-load maps push MAP VALUE          put a value into a queue, stack or Bloom filter
  bpf-load maps pop MAP [KEY]           take a value out, and print it
  bpf-load maps events MAP              print what arrives in a ring or perf buffer
"""
_EPILOG = """\
Keys and values are numbers, JSON ('{"packets": 5}', '[1, 2]'), hex:01ff, or names of enumerators; of the map's
types, where it has BTF. Exit status: 0 done, 1 refused, 2 there is no such map or key.
"""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    action, rest = split_action(arguments, _ACTIONS, "list")
    parser = command_parser(
        f"{name} [{action}]" if action == "list" else f"{name} {action}", _DESCRIPTION, _EPILOG
    )
    run = _ACTIONS[action]
    if action == "list":
        parser.add_argument("maps", metavar="MAP", nargs="*", help="which maps (default: all)")
        return run(parser.parse_intermixed_args(rest))
    parser.add_argument("map", metavar="MAP", help=FORMS)
    for argument, count in _ARGUMENTS[action]:
        parser.add_argument(argument, metavar=argument.upper().removesuffix("S"), nargs=count)
    if action == "update":
        parser.add_argument("--new", action="store_true", help="only if the key is not there yet")
        parser.add_argument("--existing", action="store_true", help="only if the key is there")
        parser.add_argument("--cpu", metavar="N", type=int, help="of a per-CPU map: only this CPU's value")
        parser.add_argument("--all-cpus", action="store_true", help="of a per-CPU map: every CPU's value")
    if action == "events":
        parser.add_argument("--type", metavar="TYPE", help="of what type they are: 'struct event', '=IQ', …")
    return run(parser.parse_intermixed_args(rest))


_ARGUMENTS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "dump": (),
    "lookup": (("key", "?"),),
    "update": (("key", None), ("value", None)),
    "delete": (("keys", "+"),),
    "push": (("value", None),),
    "pop": (("key", "?"),),
    "events": (),
}
"""What each action takes behind the map, and how many of it."""

_COLUMNS = {
    "id": "ID",
    "name": "MAP",
    "type": "TYPE",
    "key_size": "KEY",
    "value_size": "VALUE",
    "max_entries": "ENTRIES",
    "flags": "FLAGS",
    "pinned": "PINNED",
}


def _list(options: argparse.Namespace) -> int:
    if options.maps:
        infos = []
        for reference in options.maps:
            with open_map(reference) as map_:
                infos.append(map_.info())
    else:
        infos = list_maps()
    pins = pins_by_id(ObjectKind.MAP)
    rows = [_info_json(info, pins.get(info.id, ())) for info in infos]
    if options.json:
        print_json(rows)
    elif rows:
        texts = ("flags", "pinned")
        print(table(_COLUMNS, [row | {key: _listed(row[key]) for key in texts} for row in rows]))
    return DONE


def _info_json(info: MapInfo, pins: Sequence[str]) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "type": map_type_name(info.type),
        "key_size": info.key_size,
        "value_size": info.value_size,
        "max_entries": info.max_entries,
        "flags": map_flag_names(info.map_flags),
        "map_extra": info.map_extra,
        "btf_id": info.btf_id,
        "pinned": list(pins),
    }


def _listed(names: Sequence[str]) -> str:
    return ",".join(names) or "-"


def _dump(options: argparse.Namespace) -> int:
    with open_map(options.map) as map_:
        if map_.type == MapType.RINGBUF:
            raise BpfasError.of(f"map {map_.name} holds events: bpf-load maps events {options.map}")
        if options.json:
            print_json(elements_json(map_))
            return DONE
        for key, value in map_.items():
            print("\n".join(element_lines(key, value, is_per_cpu=map_.is_per_cpu)))
    return DONE


def _lookup(options: argparse.Namespace) -> int:
    with open_map(options.map) as map_:
        if options.key is None:
            _print_value(map_, _next_value(map_, map_.peek), options)
            return DONE
        key = parse_value(options.key)
        value = map_.lookup(key)
        if value is None:
            raise _no_key(map_, options.key)
        _print_element(map_, key, value, options)
    return DONE


def _update(options: argparse.Namespace) -> int:
    if options.new and options.existing:
        raise BpfasError.of("--new and --existing exclude each other")
    flag = UpdateFlag.NOEXIST if options.new else UpdateFlag.EXIST if options.existing else UpdateFlag.ANY
    with open_map(options.map) as map_, contextlib.ExitStack() as opened:
        key, value = parse_value(options.key), _stored_value(map_, options.value, opened)
        if isinstance(value, dict) and _holds_variables(map_):
            value = _of_usage(lambda: map_[key]._replace(**value))
        if options.cpu is None and not options.all_cpus:
            map_.update(key, value, flag)
        elif not map_.is_per_cpu:
            raise BpfasError.of(f"map {map_.name} has one value for all CPUs: leave out --cpu and --all-cpus")
        else:
            _of_usage(lambda: map_.update_cpu(key, value, options.cpu))
    return DONE


def _delete(options: argparse.Namespace) -> int:
    with open_map(options.map) as map_:
        for text in options.keys:
            try:
                map_.delete(parse_value(text))
            except KeyError:
                raise _no_key(map_, text) from None
    return DONE


def _push(options: argparse.Namespace) -> int:
    with open_map(options.map) as map_, contextlib.ExitStack() as opened:
        map_.push(_stored_value(map_, options.value, opened))
    return DONE


def _pop(options: argparse.Namespace) -> int:
    with open_map(options.map) as map_:
        if options.key is None:
            _print_value(map_, _next_value(map_, map_.pop), options)
            return DONE
        key = parse_value(options.key)
        value = map_.pop(key, None)
        if value is None:
            raise _no_key(map_, options.key)
        _print_element(map_, key, value, options)
    return DONE


def _events(options: argparse.Namespace) -> int:
    with open_map(options.map) as map_, interruptible() as stopped:
        try:
            for text in event_lines(map_, stopped, options.type, as_json=options.json):
                print(text, flush=True)
        except TypeError as error:  # the map is one of other things
            raise BpfasError.of(str(error)) from None
    return DONE


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "dump": _dump,
    "lookup": _lookup,
    "update": _update,
    "delete": _delete,
    "push": _push,
    "pop": _pop,
    "events": _events,
}


def _next_value(map_: Map, taken: Callable[[], Any]) -> Any:
    """What a queue or stack gives."""
    try:
        return _of_usage(taken)
    except IndexError:
        raise NotThereError.of(f"map {map_.name} is empty") from None


def _of_usage(operation: Callable[[], Any]) -> Any:
    """What an operation gives; BpfasError for one that the map does not have."""
    try:
        return operation()
    except BpfasError:
        raise
    except (TypeError, ValueError) as error:
        raise BpfasError.of(str(error)) from None


def _stored_value(map_: Map, text: str, opened: contextlib.ExitStack) -> Any:
    """A value to store, with descriptors of what it stands for, which `opened` closes."""
    if map_.type == MapType.PROG_ARRAY:
        return opened.enter_context(open_program(text))
    if map_.type in MAPS_OF_MAPS:
        return opened.enter_context(open_map(text))
    if map_.type == MapType.CGROUP_ARRAY and "/" in text:
        try:
            fd = os.open(text, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise BpfasError.of(f"cannot open {text}: {error.strerror}") from error
        opened.callback(os.close, fd)
        return fd
    return parse_value(text)


def _holds_variables(map_: Map) -> bool:
    """Whether the map's only element is a section of global data, in which what is not named is to stay."""
    types, type_id = map_.types, map_.spec.value_type
    return types is not None and bool(type_id) and types.kind(type_id) is Kind.DATASEC


def _no_key(map_: Map, key: str) -> BpfasError:
    return NotThereError.of(f"map {map_.name} has no key {key}")


def _print_element(map_: Map, key: Any, value: Any, options: argparse.Namespace) -> None:
    if options.json:
        print_json(element_json(key, value))
    else:
        print("\n".join(element_lines(key, value, is_per_cpu=map_.is_per_cpu)))


def _print_value(map_: Map, value: Any, options: argparse.Namespace) -> None:
    if options.json:
        print_json({"value": element_json(None, value)["value"]})
    else:
        print("\n".join(value_lines(value, is_per_cpu=map_.is_per_cpu)))
