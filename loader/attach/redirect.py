"""Programs to the targets of XDP redirections: to elements of device maps and CPU maps.

Source: struct bpf_devmap_val and bpf_cpumap_val of include/uapi/linux/bpf.h, the kernel's documents
bpf/map_devmap.rst and map_cpumap.rst.
"""

from __future__ import annotations

import errno
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.attach.command import duplicate
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.interfaces import find_interface
from bpfas.loader.attach.link import UndoneLink
from bpfas.loader.kinds import MapType, map_type_name
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable, AttachableMap

_VALUE = struct.Struct("=Ii")  # interface or length of the queue, descriptor of the program
_KEY = struct.Struct("=I")


def attach_devmap(program: Attachable, *, map: AttachableMap, key: int, interface: str | int) -> Link:  # noqa: A002
    """Make `interface` the target `key` of a device map, and run the program on what is sent there.

    Detaching takes the target out of the map. Raises AttachError.
    """
    found = find_interface(interface, f"program {program.name}")
    target = f"target {key} of map {map.name}, {found.name}"
    _check_map(program, target, map, (MapType.DEVMAP, MapType.DEVMAP_HASH))
    return _attach(program, target, map, key, found.index)


def attach_cpumap(program: Attachable, *, map: AttachableMap, cpu: int, queue_size: int = 2048) -> Link:  # noqa: A002
    """Make a CPU a target of a CPU map, with a queue for so many packets, and run the program there.

    Detaching takes the CPU out of the map. Raises AttachError.
    """
    target = f"CPU {cpu} of map {map.name}"
    _check_map(program, target, map, (MapType.CPUMAP,))
    return _attach(program, target, map, cpu, queue_size)


def _attach(program: Attachable, target: str, redirect_map: AttachableMap, key: int, what: int) -> Link:
    with ExitStack() as stack:
        fd = duplicate(redirect_map.fd, stack)
        try:
            syscall.map_update_elem(fd, _KEY.pack(key), _VALUE.pack(what, program.fd))
        except OSError as error:
            raise attach_error(program, target, error, _CAUSES.get) from error
        stack.pop_all()

    def undo() -> None:
        try:
            syscall.map_delete_elem(fd, _KEY.pack(key))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    return UndoneLink(program.name, target, undo, fd)


def _check_map(program: Attachable, target: str, redirect_map: AttachableMap, types: tuple[MapType, ...]) -> None:
    wanted = " or ".join(map_type_name(each) for each in types)
    if redirect_map.type not in types:
        cause = f"map {redirect_map.name} is of type {map_type_name(redirect_map.type)}, not {wanted}"
    elif redirect_map.value_size != _VALUE.size:
        cause = (
            f"the values of map {redirect_map.name} have {redirect_map.value_size} bytes, no room for a program"
        )
    else:
        return
    remedy = f"make it a map of type {wanted} with values of {_VALUE.size} bytes"
    raise attach_error(program, target, errno.EINVAL, explanation=Explanation(cause, remedy))


_CAUSES = {
    errno.E2BIG: Explanation("the key is beyond the end of the map", "use a lower one, or a map of more entries"),
    errno.EINVAL: Explanation(
        "the program is not one for such targets, or of another kind (frags) than those that have the map, or the "
        "interface is in another network namespace",
        "name the section xdp/devmap or xdp/cpumap, with .frags for all of them or for none",
    ),
    errno.ENODEV: Explanation("this machine has no such CPU"),
    errno.EOVERFLOW: Explanation("the queue is longer than the kernel permits: 16384 packets"),
}
