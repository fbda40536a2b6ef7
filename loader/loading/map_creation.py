"""Maps into the kernel: created or taken over from a pin, filled, frozen, and their slots filled with other maps.

How the sizes and contents came to be is `bpfas.loader.loading.resolve`. Source: libbpf 1.8; bpf(2).
"""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from bpfas.loader import syscall
from bpfas.loader.errors import KernelError, LoadError, Step, errno_name
from bpfas.loader.kernel.features import Feature
from bpfas.loader.kinds import MAP_TYPES_WITHOUT_BTF, MapFlag, MapType
from bpfas.loader.loading.map_faults import explain_refusal
from bpfas.loader.loading.pins import map_pin_path, pin_new_map, reuse_pinned_map
from bpfas.loader.runtime.maps import Map
from bpfas.loader.runtime.pinning import unpin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bpfas.loader.loading.plan import MapPlan, Plan
    from bpfas.loader.loading.session import Session
    from bpfas.loader.loading.struct_ops import StructOpsValue
    from bpfas.loader.spec import MapSpec

_FIRST_KEY = bytes(4)


def create_maps(plan: Plan, session: Session) -> dict[str, Map]:
    """All maps of the plan, with their contents. Raises LoadError."""
    maps: dict[str, Map] = {}
    new: list[MapSpec] = []
    for name, each in plan.maps.items():
        map_, is_new = _open_or_create(each, plan, session)
        maps[name] = map_
        if is_new:
            new.append(each.spec)
            _fill(map_, each.spec, session)
    # A slot may name a map that comes later. What a map taken over from a pin holds is left as it is.
    descriptors = {name: map_.fd for name, map_ in maps.items()}
    for spec in new:
        if spec.map_type != MapType.PROG_ARRAY:
            _fill_slots(maps[spec.name], spec, descriptors, session)
    return maps


def fill_program_slots(plan: Plan, maps: Mapping[str, Map], programs: Mapping[str, int], session: Session) -> None:
    """Put programs, by their descriptors, into the prog arrays that name them. Raises LoadError."""
    for name, each in plan.maps.items():
        if each.spec.map_type == MapType.PROG_ARRAY:
            _fill_slots(maps[name], each.spec, programs, session)


def _open_or_create(plan: MapPlan, whole: Plan, session: Session) -> tuple[Map, bool]:
    """A map, and whether it is new."""
    spec = plan.spec
    path = map_pin_path(spec, session.options)
    fd = reuse_pinned_map(spec, path) if path else None
    is_new = fd is None
    if fd is None:
        fd = _create(spec, plan.struct_ops, session, _exclusive_hash(spec, whole, session))
        if path:
            other = pin_new_map(spec, path, fd)
            if other is not None:  # another process was faster
                os.close(fd)
                fd, is_new = other, False
            else:
                session.undo.callback(_unpin, path, spec)
    try:
        map_ = Map(spec, fd, whole.image.types)
    except BaseException:
        os.close(fd)
        raise
    session.owner.callback(map_.close)
    return map_, is_new


def _unpin(path: str, spec: MapSpec) -> None:
    with contextlib.suppress(KernelError):  # somebody else may have done it
        unpin(path, f"map {spec.name}")


def _exclusive_hash(spec: MapSpec, whole: Plan, session: Session) -> bytes:
    """The hash of the program that a map is for alone; empty where it is for all."""
    if not spec.exclusive_program:
        return b""
    from bpfas.loader.loading.program_hash import program_hash  # few maps are

    return program_hash(whole.programs[spec.exclusive_program], whole, session)


def _create(
    spec: MapSpec, kernel_value: StructOpsValue | None, session: Session, exclusive_hash: bytes = b""
) -> int:
    """The descriptor of a new map, which only the program of the hash may use if one is given."""
    subject = f"map {spec.name}"
    inner_fd = _create(spec.inner, None, session) if spec.inner else 0
    failure: OSError | None = None
    try:
        for attempt in _attempts(spec, session):
            try:
                create = partial(_map_create, attempt, kernel_value, inner_fd, session, exclusive_hash)
                fd = session.with_memory(create)
            except OSError as error:
                failure = failure or error
                continue
            if failure and spec.value_type and not attempt.value_type:
                name = errno_name(failure.errno or 0)
                session.warnings.warning(f"{subject} is created without its types, with which it gives {name}")
            return fd
    finally:
        # It has served as a template.
        if inner_fd:
            os.close(inner_fd)
    assert failure is not None
    if explanation := explain_refusal(spec, failure.errno or 0):
        raise LoadError(Step.CREATE_MAP, subject, failure.errno or 0, explanation) from failure
    raise session.error(Step.CREATE_MAP, subject, failure) from failure


def _attempts(spec: MapSpec, session: Session) -> Iterator[MapSpec]:
    """What to ask for, one after the other until the kernel takes it: less and less of what older kernels lack."""
    has_types = session.btf_fd and spec.map_type not in MAP_TYPES_WITHOUT_BTF
    if not has_types:
        spec = spec._replace(key_type=0, value_type=0)
    yield spec
    if spec.map_type == MapType.STRUCT_OPS:
        return
    if has_types and (spec.key_type or spec.value_type):
        spec = spec._replace(key_type=0, value_type=0)
        yield spec
    lacks_names = bool(spec.kernel_name) and not session.kernel.has(Feature.PROGRAM_NAMES)
    lacks_mmap = bool(spec.section) and not session.kernel.has(Feature.ARRAY_MMAP)
    if lacks_names or lacks_mmap:
        flags = spec.map_flags & ~MapFlag.MMAPABLE if lacks_mmap else spec.map_flags
        yield spec._replace(kernel_name="" if lacks_names else spec.kernel_name, map_flags=flags)


def _map_create(
    spec: MapSpec, kernel_value: StructOpsValue | None, inner_fd: int, session: Session, exclusive_hash: bytes
) -> int:
    flags = spec.map_flags | (MapFlag.TOKEN_FD if session.token_fd else 0)
    value_type_owner_fd = 0
    if kernel_value:
        value_type_owner_fd = session.kernel.btf_fd(kernel_value.owner)
        flags |= MapFlag.VTYPE_BTF_OBJ_FD if value_type_owner_fd else 0
    has_types = bool(spec.key_type or spec.value_type or kernel_value)
    return syscall.map_create(
        spec.kernel_name,
        spec.map_type,
        spec.key_size,
        spec.value_size,
        spec.max_entries,
        flags,
        inner_map_fd=inner_fd,
        numa_node=spec.numa_node,
        ifindex=spec.ifindex,
        btf_fd=session.btf_fd if has_types else 0,
        key_type=spec.key_type,
        value_type=spec.value_type,
        kernel_value_type=kernel_value.value_type if kernel_value else 0,
        map_extra=spec.map_extra,
        value_type_btf_obj_fd=value_type_owner_fd,
        token_fd=session.token_fd,
        exclusive_hash=exclusive_hash,
    )


def _fill(map_: Map, spec: MapSpec, session: Session) -> None:
    """Give a new map its contents, and close it to writes if it is to be frozen."""
    subject = f"map {spec.name}"
    if spec.map_type == MapType.ARENA:
        # Also without data: programs can be loaded once it is known where the arena lies.
        contents = spec.contents or b""
        session.attempt(Step.FILL_MAP, subject, partial(map_.fill_arena, spec.data_offset, contents))
    elif spec.contents is not None and spec.struct_ops is None:
        contents = spec.contents
        session.attempt(Step.FILL_MAP, subject, lambda: syscall.map_update_elem(map_.fd, _FIRST_KEY, contents))
    if spec.frozen:
        session.attempt(Step.FREEZE_MAP, subject, lambda: syscall.map_freeze(map_.fd))


def _fill_slots(map_: Map, spec: MapSpec, descriptors: Mapping[str, int], session: Session) -> None:
    for slot in spec.slots:
        subject = f"map {spec.name}[{slot.index}]"
        if slot.name not in descriptors:
            session.warnings.warning(f"{subject} stays empty: '{slot.name}' is not loaded")
            continue
        key, value = (number.to_bytes(4, sys.byteorder) for number in (slot.index, descriptors[slot.name]))
        session.attempt(Step.FILL_SLOT, subject, partial(syscall.map_update_elem, map_.fd, key, value))
