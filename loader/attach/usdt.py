"""USDT: a program at every site of a statically defined probe, with the probe's arguments.

How the arguments are fetched is written into the map __bpf_usdt_specs, which programs built with bpf/usdt.bpf.h
read; the number of the entry is the attachment's cookie, or, on kernels without cookies, in the map
__bpf_usdt_ip_to_spec_id by the site's address in memory. Sources: libbpf 1.8; bpf/usdt.bpf.h.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpfas.diag import BpfasError
from bpfas.loader import syscall
from bpfas.loader.attach.binary import ET_EXEC, Binary, open_binary
from bpfas.loader.attach.binary_functions import data_addresses
from bpfas.loader.attach.failure import attach_error
from bpfas.loader.attach.kernel_functions import nearest_of
from bpfas.loader.attach.link import LinkGroup
from bpfas.loader.attach.section_target import malformed, section_target
from bpfas.loader.attach.uprobe import UserPlace, attach_at, binary_error, has_semaphores
from bpfas.loader.attach.uprobe_multi import UserPlaces, attach_at_all
from bpfas.loader.attach.usdt_arguments import FORMS, UsdtArgument, UsdtArgumentError, parse_arguments
from bpfas.loader.attach.usdt_notes import UsdtNote, has_fast_nop, usdt_notes
from bpfas.loader.attach.usdt_specs import (
    SPECS_NAME,
    SpecTable,
    UsdtSpec,
    forget_address,
    free_spec,
    open_spec_table,
)
from bpfas.loader.errors import AttachError
from bpfas.loader.kernel.features import Feature
from bpfas.loader.kernel.probes import probe
from bpfas.loader.kinds import AttachType
from bpfas.loader.privilege import Explanation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bpfas.loader.attach.link import Link
    from bpfas.loader.attach.protocols import Attachable

_FORM = "PATH:PROVIDER:NAME"
_IP = struct.Struct("=Q")
_SPEC_ID = struct.Struct("=I")


class UsdtSite(NamedTuple):
    """A site of a probe: where it is in the file, its address in the file, and how its arguments are fetched."""

    place: UserPlace
    address: int
    is_absolute: bool
    spec: UsdtSpec


def attach_usdt(
    program: Attachable,
    *,
    path: str | os.PathLike[str] | None = None,
    provider: str | None = None,
    name: str | None = None,
    pid: int | None = None,
    cookie: int = 0,
) -> Link:
    """Attach a program to all sites of the probe `provider`:`name` of an executable or library.

    Without these, to that of the section (`usdt/libc.so.6:libc:setjmp`). `path` is searched as for uprobes; `pid`
    limits it to a process (0: this one). `cookie` is what bpf_usdt_cookie() gives. Raises AttachError.
    """
    if path is None or provider is None or name is None:
        if not path == provider == name:
            raise TypeError("attach() takes path, provider and name together")
        text = section_target(program, _FORM)
        parts = text.split(":")
        if len(parts) != 3 or not all(parts):
            raise malformed(program, text, _FORM)
        path, provider, name = parts
    file = os.fspath(path)
    target = f"USDT {file}:{provider}:{name}"
    try:
        with open_binary(file) as binary:
            sites = _sites(program, target, binary, provider, name, cookie)
    except AttachError:
        raise
    except BpfasError as error:
        raise binary_error(program, target, error) from error
    process = os.getpid() if pid == 0 else pid
    with ExitStack() as cleanup, open_spec_table(program, target) as table:
        numbers = [cookie] * len(sites)
        if table is not None:
            numbers = _write_specs(program, target, table, sites, cleanup)
            if not probe(Feature.BPF_COOKIE).works:
                _write_addresses(program, target, table, sites, numbers, process, cleanup)
                numbers = [0] * len(sites)
        link = _attach_sites(program, target, sites, numbers, process)
        link.add_cleanup(cleanup.pop_all())
        return link


def _sites(
    program: Attachable, target: str, binary: Binary, provider: str, name: str, cookie: int
) -> list[UsdtSite]:
    notes = list(usdt_notes(binary))
    found = [note for note in notes if (note.provider, note.name) == (provider, name)]
    if not found:
        raise attach_error(program, target, errno.ENOENT, explanation=_no_probe(binary, notes, provider, name))
    sites = []
    for note in found:
        place = _place(program, target, binary, note)
        try:
            arguments = _arguments(binary, note)
        except UsdtArgumentError as error:
            cause = Explanation(
                f"'{note.arguments}', the arguments of the probe at {note.address:#x}, cannot be fetched: {error}",
                "attach a uprobe there instead",
            )
            raise attach_error(program, target, errno.EINVAL, explanation=cause) from error
        spec = UsdtSpec(tuple(arguments), cookie)
        sites.append(UsdtSite(place, note.address, binary.type == ET_EXEC, spec))
    return sites


def _place(program: Attachable, target: str, binary: Binary, note: UsdtNote) -> UserPlace:
    address = note.address
    if has_fast_nop(binary, address) and probe(Feature.UPROBE_SYSCALL).works:
        address += 1
    offset = binary.file_offset(address)
    semaphore = binary.file_offset(note.semaphore) if note.semaphore else 0
    if offset is None or semaphore is None:
        cause = Explanation(f"its note names {note.address:#x}, which is not in the file", "the file is damaged")
        raise attach_error(program, target, errno.EINVAL, explanation=cause)
    if semaphore and not has_semaphores():
        cause = Explanation(
            "the probe has a semaphore, without which it is not reached, and the kernel raises none",
            "use a kernel from Linux 4.20 on",
        )
        raise attach_error(program, target, errno.EOPNOTSUPP, explanation=cause)
    return UserPlace(binary.path, offset, f"{note.provider}_{note.name}", semaphore)


def _arguments(binary: Binary, note: UsdtNote) -> list[UsdtArgument]:
    """How the probe's arguments are fetched. Raises UsdtArgumentError."""
    if not note.arguments.strip():
        return []
    machine = "arm" if platform.machine().startswith("arm") else platform.machine()
    forms = FORMS.get((machine, binary.machine))
    if forms is None:
        raise UsdtArgumentError(
            f"those of binaries for ELF machine {binary.machine} are not known on a kernel for {machine}"
        )

    def distance(symbol: str) -> int | None:
        addresses = data_addresses(binary, symbol)
        return addresses.pop() - note.address if len(addresses) == 1 else None

    return parse_arguments(note.arguments, forms, distance)


def _no_probe(binary: Binary, notes: Sequence[UsdtNote], provider: str, name: str) -> Explanation:
    known = sorted({f"{note.provider}:{note.name}" for note in notes})
    if not known:
        return Explanation(
            f"{binary.path} has no USDT probes", "build it with them (sys/sdt.h); readelf -n lists those of a file"
        )
    similar = nearest_of(f"{provider}:{name}", known)
    remedy = similar or f"readelf -n {binary.path} lists its probes"
    return Explanation(f"{binary.path} has no USDT probe '{provider}:{name}'", remedy)


def _write_specs(
    program: Attachable, target: str, table: SpecTable, sites: Sequence[UsdtSite], cleanup: ExitStack
) -> list[int]:
    """The number of each site's spec; sites whose arguments are fetched alike share one."""
    numbers: dict[UsdtSpec, int] = {}
    for site in sites:
        if site.spec in numbers:
            continue
        try:
            number = table.add(site.spec)
        except IndexError as error:
            cause = Explanation(
                f"the map {SPECS_NAME} has room for {table.max_entries} sites with different arguments, and all "
                "of it is taken",
                "enlarge it before loading, or define BPF_USDT_MAX_SPEC_CNT when compiling",
            )
            raise attach_error(program, target, errno.E2BIG, explanation=cause) from error
        except OSError as error:
            raise attach_error(program, target, error) from error
        numbers[site.spec] = number
        cleanup.callback(free_spec, table.map_id, number, table.layout.size)
    return [numbers[site.spec] for site in sites]


def _write_addresses(
    program: Attachable,
    target: str,
    table: SpecTable,
    sites: Sequence[UsdtSite],
    numbers: Sequence[int],
    pid: int | None,
    cleanup: ExitStack,
) -> None:
    """For kernels without cookies: the sites' addresses in memory, by which the program finds their specs."""
    if table.addresses_fd < 0:
        return
    map_id = syscall.map_info(table.addresses_fd).id
    for site, number in zip(sites, numbers, strict=True):
        if site.is_absolute:
            addresses = [site.address]
        elif pid is None:
            cause = Explanation(
                f"without cookies of links, {site.place.path} can be probed only where it is loaded already",
                "say in which process: attach(pid=…); or use a kernel from Linux 5.15 on",
            )
            raise attach_error(program, target, errno.EOPNOTSUPP, explanation=cause)
        else:
            addresses = list(mapped_addresses(pid, site.place))
            if not addresses:
                cause = Explanation(f"process {pid} has not mapped {site.place.path}", "attach when it has")
                raise attach_error(program, target, errno.ESRCH, explanation=cause)
        for address in addresses:
            key = _IP.pack(address)
            try:
                syscall.map_update_elem(table.addresses_fd, key, _SPEC_ID.pack(number))
            except OSError as error:
                raise attach_error(program, target, error) from error
            cleanup.callback(forget_address, map_id, key)


def mapped_addresses(pid: int, place: UserPlace) -> Iterator[int]:
    """Where a process has the instruction in memory."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        wanted = os.stat(place.path)
    except OSError:
        return
    for line in lines:
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ (\d+)", line)
        if match is None or int(match[4]) != wanted.st_ino:
            continue
        start, end, offset = (int(match[group], 16) for group in (1, 2, 3))
        if offset <= place.offset < offset + end - start:
            yield start + place.offset - offset


def _attach_sites(
    program: Attachable, target: str, sites: Sequence[UsdtSite], numbers: Sequence[int], pid: int | None
) -> Link:
    if program.spec.expected_attach_type == AttachType.TRACE_UPROBE_MULTI:
        places = UserPlaces(
            sites[0].place.path,
            [site.place.offset for site in sites],
            [site.place.semaphore for site in sites] if any(site.place.semaphore for site in sites) else (),
            numbers,
        )
        return attach_at_all(program, target, places, pid, is_return=False)
    with ExitStack() as stack:
        links = [
            stack.enter_context(attach_at(program, target, site.place, pid, number, is_return=False))
            for site, number in zip(sites, numbers, strict=True)
        ]
        stack.pop_all()
    return links[0] if len(links) == 1 else LinkGroup(program.name, target, links)
