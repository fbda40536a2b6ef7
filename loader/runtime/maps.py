"""A map in the kernel: typing it, its memory and events; its elements are `bpfas.loader.runtime.view`'s.

Opening and pinning are `bpfas.loader.runtime.owned`'s; a map that was opened has the types that the kernel has.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from bpfas.btf.untyped import Raw
from bpfas.loader import syscall
from bpfas.loader.errors import Step
from bpfas.loader.kinds import MAP_TYPES_WITHOUT_ELEMENTS, MAPS_OF_MAPS, PER_CPU_MAP_TYPES, MapType, map_type_name
from bpfas.loader.runtime.codecs import (
    PerCpu,
    aligned,
    given_codec,
    key_codec,
    value_codec,
)
from bpfas.loader.runtime.cpus import possible_cpu_count
from bpfas.loader.runtime.memory import PAGE_SIZE, Memory, whole_pages
from bpfas.loader.runtime.opening import ObjectKind, types_of
from bpfas.loader.runtime.owned import OwnedObject, no_information
from bpfas.loader.runtime.view import MapView
from bpfas.loader.spec import MapSpec

if TYPE_CHECKING:
    import ctypes
    from collections.abc import AsyncIterator, Iterator

    from bpfas.btf.btf import Btf
    from bpfas.btf.codecs import Codec
    from bpfas.loader.runtime.events import EventReader
    from bpfas.loader.runtime.user_ring import UserRing
    from bpfas.loader.syscall import MapInfo

K = TypeVar("K")
V = TypeVar("V")
C = TypeVar("C", bound="ctypes.Structure | ctypes.Union")
C2 = TypeVar("C2", bound="ctypes.Structure | ctypes.Union")

_WITH_EVENTS = frozenset({MapType.RINGBUF, MapType.PERF_EVENT_ARRAY})


class Map(MapView[Any, Any], OwnedObject):
    """A map and its descriptor, which it closes in `close()`; a dictionary of its elements.

    Keys and values are typed by the object's BTF where it says of what type they are, else they are bytes (see
    `bpfas.loader.runtime.codecs` for the rule). `typed()` gives the same map with other types, `raw` the one with
    bytes. A map of events (a ring buffer, a perf event array) is iterated for its events.

    What the kernel refuses is a KernelError, also on a map that is closed; a key that is not there a KeyError.
    A map that is dropped without being closed is closed once no view and no reader of events needs it.
    """

    kind = ObjectKind.MAP

    def __init__(self, spec: MapSpec, fd: int, types: Btf | None = None) -> None:
        self.spec = spec
        self.types = types
        self.name = spec.name
        self.kernel_name = spec.kernel_name
        self.type = spec.map_type
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self.flags = spec.map_flags
        self._user_ring: UserRing | None = None
        self._own_reader: EventReader | None = None
        self._memory: Memory | None = None
        elements = syscall.Elements(fd, spec.key_size, self.value_buffer_size)
        cpus = possible_cpu_count() if self.is_per_cpu else 1
        super().__init__(
            spec, elements, key_codec(spec, types), self._for_all_cpus(value_codec(spec, types)), cpus
        )
        self._fd = fd

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """The map of a descriptor, which becomes the Map's (it is closed also on failure). Raises KernelError."""
        try:
            info = syscall.map_info(fd)
            return cls(_spec_of(info), fd, types_of(info.btf_id, f"map {info.name}"))
        except OSError as error:
            raise no_information(fd, error) from error

    def __del__(self) -> None:
        # Memory and readers live as long as somebody uses them.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._elements.close()
            os.close(fd)

    def __repr__(self) -> str:
        return f"<Map {self.name!r}: {map_type_name(self.type)}, {self.max_entries} entries, fd {self._fd}>"

    def __iter__(self) -> Iterator[Any]:
        """The keys; of a map of events, the events as they come, without end."""
        return self.keys() if self.type not in _WITH_EVENTS else iter(self._shared_reader())

    def __aiter__(self) -> AsyncIterator[Any]:
        """The events of a map of events as they come, without end, for `async for`."""
        if self.type not in _WITH_EVENTS:
            raise TypeError(f"map {self.name} has no events: it is of type {map_type_name(self.type)}")
        return aiter(self._shared_reader())

    def _shared_reader(self) -> EventReader:
        """One reader for all loops: what a loop that was left has taken out already is the next one's."""
        if self._own_reader is None:
            self._own_reader = self.events()
        return self._own_reader

    def close(self) -> None:
        """Close the descriptor; the kernel drops the map when nothing else refers to it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._elements.close()
            for opened in (self._user_ring, self._own_reader, self._memory):
                if opened is not None:
                    opened.close()
            self._user_ring = self._own_reader = self._memory = None
            os.close(fd)

    def info(self) -> MapInfo:
        """What the kernel says of the map."""
        try:
            return syscall.map_info(self._fd)
        except OSError as error:
            raise self._refusal(Step.GET_INFO, error.errno or 0) from error

    @property
    def id(self) -> int:
        """The number by which the kernel lists the map."""
        return self.info().id

    @property
    def is_per_cpu(self) -> bool:
        """Whether every element has a value for each CPU."""
        return self.type in PER_CPU_MAP_TYPES

    @property
    def value_buffer_size(self) -> int:
        """Bytes of a value as it is looked up and updated, all CPUs together."""
        if self.type in MAP_TYPES_WITHOUT_ELEMENTS:
            return 0
        return aligned(self.value_size) * possible_cpu_count() if self.is_per_cpu else self.value_size

    @property
    def raw(self) -> MapView[bytes, Any]:
        """The same map with keys and values as bytes; those of a per-CPU map are lists of bytes."""
        return self._view(Raw(self.key_size), self._for_all_cpus(Raw(self.value_size)))

    @overload
    def typed(self, *, key: type[int], value: type[int]) -> MapView[int, int]: ...
    @overload
    def typed(self, *, key: type[int], value: type[bytes]) -> MapView[int, bytes]: ...
    @overload
    def typed(self, *, key: type[bytes], value: type[int]) -> MapView[bytes, int]: ...
    @overload
    def typed(self, *, key: type[bytes], value: type[bytes]) -> MapView[bytes, bytes]: ...
    @overload
    def typed(self, *, key: type[int], value: type[C]) -> MapView[int, C]: ...
    @overload
    def typed(self, *, key: type[C], value: type[int]) -> MapView[C, int]: ...
    @overload
    def typed(self, *, key: type[C], value: type[C2]) -> MapView[C, C2]: ...
    @overload
    def typed(self, *, key: Codec[K], value: Codec[V]) -> MapView[K, V]: ...
    @overload
    def typed(self, *, key: object = None, value: object = None) -> MapView[Any, Any]: ...
    def typed(self, *, key: Any = None, value: Any = None) -> MapView[Any, Any]:
        """The same map with other types of keys and values; what is left out stays as it is.

        A type is `int` (unsigned) or `bytes`, a ctypes class, the name of one of the object's types
        (`struct event`), a format of struct (`=IQ`, which gives tuples, or a single value) or a struct.Struct. The
        values of a per-CPU map are lists of it. Raises EncodingError for a type that has not the map's size.
        """
        key_codec_ = self._key if key is None else given_codec(key, self.key_size, self.types)
        if value is None:
            return self._view(key_codec_, self._value)
        return self._view(key_codec_, self._for_all_cpus(given_codec(value, self.value_size, self.types)))

    def open_inner(self, key: Any) -> Map:
        """The map that a map of maps holds under `key`, for the caller to close. KeyError if there is none."""
        if self.type not in MAPS_OF_MAPS:
            raise TypeError(f"map {self.name} holds no maps: it is of type {map_type_name(self.type)}")
        return Map.from_id(self[key])

    def freeze(self) -> None:
        """Close the map to writes by bpf(2) for good; programs may still write."""
        try:
            syscall.map_freeze(self._fd)
        except OSError as error:
            raise self._refusal(Step.FREEZE_MAP, error.errno or 0) from error

    def events(self, value: Any = None) -> EventReader:
        """A reader of the events in a ring buffer or a perf event array, to be closed by the caller.

        `value` says of what type they are, as for `typed()`; else that is what the map's definition says, or they
        are bytes.
        """
        from bpfas.loader.runtime.events import EventReader  # what most programs have no use for

        reader = EventReader()
        try:
            reader.add(self, value=value)
        except BaseException:
            reader.close()
            raise
        return reader

    @property
    def memory(self) -> Memory:
        """The memory that the map shares with programs: of an array with the flag MMAPABLE, or of an arena.

        An arena lies at the address that the map was created for (`map_extra`), or where it was first mapped. It
        is closed with the map. Raises KernelError.
        """
        if self._memory is None:
            self._memory = self._open_memory()
        return self._memory

    def submit(self, value: Any, timeout: float | None = 0.0) -> None:
        """Put a record into a user ring buffer, for a program to take out.

        Waits for up to `timeout` seconds (None: without end) for room; raises BlockingIOError if there is none.
        """
        self.user_ring.submit(value, timeout)

    @property
    def user_ring(self) -> UserRing:
        """The user ring buffer that the map is; it is closed with the map."""
        from bpfas.loader.runtime.user_ring import UserRing

        if self._user_ring is None:
            self._user_ring = UserRing(self)
        return self._user_ring

    def fill_arena(self, offset: int, contents: bytes) -> None:
        """Copy the data of an arena's globals to where they lie. Raises OSError."""
        self._memory = self._memory or self._new_memory()
        self._memory.view[offset : offset + len(contents)] = contents

    def _open_memory(self) -> Memory:
        try:
            return self._new_memory()
        except OSError as error:
            raise self._refusal(Step.MAP_MEMORY, error.errno or 0) from error

    def _new_memory(self) -> Memory:
        if self._fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self.type == MapType.ARENA:
            size, address = self.max_entries * PAGE_SIZE, self.spec.map_extra
        else:
            size, address = whole_pages(aligned(self.value_size) * self.max_entries), 0
        try:
            return Memory(self._fd, size, address=address, is_writable=not self.spec.frozen)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                raise
        return Memory(self._fd, size, address=address, is_writable=False)  # it was frozen by somebody else

    def _view(self, key: Codec[K], value: Codec[V]) -> MapView[K, V]:
        view = MapView(self.spec, self._elements, key, value, self._cpus)
        view.origin = self
        return view

    def _for_all_cpus(self, value: Codec[V]) -> Codec[Any]:
        return PerCpu(value, possible_cpu_count()) if self.is_per_cpu else value


def _spec_of(info: MapInfo) -> MapSpec:
    return MapSpec(
        info.name,
        info.name,
        info.type,
        info.key_size,
        info.value_size,
        info.max_entries,
        info.map_flags,
        map_extra=info.map_extra,
        key_type=info.key_type,
        value_type=info.value_type,
    )
