"""How the keys and values of a map are given and come out, by the map's types and its kind.

The rule: what the object has a BTF type for is of that type (`bpfas.btf.values`). Keys that the kernel itself
defines as an index are integers; values that are descriptors of maps, programs, sockets are given as such and
come out as ids. All else comes out as bytes, and integers are taken for it as well as bytes, in the machine's byte
order. Per-CPU values are lists, with one value for each possible CPU.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any, TypeVar

from bpfas.btf.codecs import EncodingError, integer, raw_bytes, shown, too_short
from bpfas.btf.compounds import Slot, Struct
from bpfas.btf.untyped import Raw
from bpfas.btf.values import codec_of, find_type
from bpfas.elf.constants import HOST_ORDER
from bpfas.loader.kinds import MAPS_OF_MAPS, STORAGE_MAP_TYPES, MapFlag, MapType
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfas.btf.btf import Btf
    from bpfas.btf.codecs import Buffer, Codec
    from bpfas.loader.spec import MapSpec

T = TypeVar("T")

PER_CPU_ALIGNMENT = 8
_GIVE_TYPES = "Map.typed() takes some"

INDEXED = frozenset(
    {
        MapType.ARRAY,
        MapType.PROG_ARRAY,
        MapType.PERF_EVENT_ARRAY,
        MapType.PERCPU_ARRAY,
        MapType.CGROUP_ARRAY,
        MapType.ARRAY_OF_MAPS,
        MapType.DEVMAP,
        MapType.SOCKMAP,
        MapType.CPUMAP,
        MapType.XSKMAP,
        MapType.REUSEPORT_SOCKARRAY,
        MapType.INSN_ARRAY,
    }
)
"""Types whose keys are the numbers from 0 to `max_entries`."""

_NUMBERED = INDEXED | {MapType.STACK_TRACE, MapType.DEVMAP_HASH, MapType.STRUCT_OPS}
"""Types whose keys are numbers of 4 bytes."""

_HOLDING_DESCRIPTORS = MAPS_OF_MAPS | {
    MapType.PROG_ARRAY,
    MapType.PERF_EVENT_ARRAY,
    MapType.CGROUP_ARRAY,
    MapType.SOCKMAP,
    MapType.SOCKHASH,
    MapType.XSKMAP,
    MapType.REUSEPORT_SOCKARRAY,
}
_REDIRECTIONS = {
    MapType.DEVMAP: "ifindex",
    MapType.DEVMAP_HASH: "ifindex",
    MapType.CPUMAP: "qsize",
}
"""Types whose values are a number, and behind it a program where they have 8 bytes."""


class Descriptor:
    """What is given by its descriptor: a Map, Program, Link, socket, file, or the number; ids come out."""

    finish: Callable[[Any], Any] | None = None

    def __init__(self, size: int) -> None:
        self.size = size
        self._number = integer(size, HOST_ORDER, "descriptor", is_signed=False)
        self.format = self._number.format

    def encode(self, value: Any) -> bytes:
        """The bytes of a descriptor."""
        if isinstance(value, bytes | bytearray | memoryview | int):
            return self._number.encode(value)
        fd = getattr(value, "fd", None)
        if fd is None and hasattr(value, "fileno"):
            fd = value.fileno()
        if not isinstance(fd, int):
            raise EncodingError(f"{shown(value)} is neither a descriptor nor has it one (fd or fileno())")
        if fd < 0:
            raise EncodingError(f"{shown(value)} is closed")
        return self._number.encode(fd)

    def decode(self, data: Buffer, at: int = 0) -> int:
        """The id, or what else the kernel says of it."""
        return self._number.decode(data, at)


class PerCpu:
    """A value for each possible CPU, each filled up to a multiple of 8 bytes."""

    format = ""
    finish: Callable[[Any], Any] | None = None

    def __init__(self, each: Codec[Any], cpus: int) -> None:
        self.each = each
        self._cpus = cpus
        self._step = aligned(each.size)
        self.size = self._step * cpus
        plain = each.format and each.finish is None
        padding = f"{self._step - each.size}x"
        self._struct = struct.Struct(HOST_ORDER.value + f"{each.format}{padding}" * cpus) if plain else None

    def encode(self, value: Any) -> bytes:
        """The bytes of all values, in a list or (with what fills them up) in bytes."""
        data = raw_bytes(value, self.size, "a value for all CPUs")
        if data is not None:
            return data
        if not isinstance(value, list | tuple) or len(value) != self._cpus:
            given = f"{len(value)} values" if isinstance(value, list | tuple) else shown(value)
            raise EncodingError(
                f"a per-CPU map takes a list of {self._cpus} values, one for each CPU, not {given}"
            )
        parts = []
        for cpu, each in enumerate(value):
            try:
                parts.append(self.each.encode(each).ljust(self._step, b"\0"))
            except EncodingError as error:
                raise error.within(f"[{cpu}]") from None
        return b"".join(parts)

    def decode(self, data: Buffer, at: int = 0) -> list[Any]:
        """The values from `at` on."""
        if self._struct is not None and at + self.size <= len(data):
            return list(self._struct.unpack_from(data, at))
        decode = self.each.decode
        return [decode(data, start) for start in range(at, at + self.size, self._step)]


class CData:
    """Objects of a ctypes class."""

    format = ""
    finish: Callable[[Any], Any] | None = None

    def __init__(self, class_: Any) -> None:
        self._class = class_
        self.size = ctypes.sizeof(class_)

    def encode(self, value: Any) -> bytes:
        """The bytes of an object, or of what the class is made from."""
        data = raw_bytes(value, self.size, f"'{self._class.__name__}'")
        if data is not None:
            return data
        try:
            return bytes(self._class(*value) if isinstance(value, tuple) else self._class(value))
        except TypeError as error:
            raise EncodingError(f"{shown(value)} is no '{self._class.__name__}': {error}") from None

    def decode(self, data: Buffer, at: int = 0) -> Any:
        """A new object with the bytes at `at`."""
        if at + self.size > len(data):
            raise too_short(f"'{self._class.__name__}'", self.size, data, at)
        return self._class.from_buffer_copy(data, at)


class Format:
    """What a format of struct says: the only value that it has, or a tuple of them."""

    finish: Callable[[Any], Any] | None = None
    format = ""

    def __init__(self, format_: struct.Struct) -> None:
        self._struct = format_
        self.size = format_.size
        self._is_single = len(format_.unpack(bytes(format_.size))) == 1

    def encode(self, value: Any) -> bytes:
        """The bytes of a value or of a sequence of values."""
        if not self._is_single:
            data = raw_bytes(value, self.size, f"'{self._struct.format}'")
            if data is not None:
                return data
        try:
            return self._struct.pack(*(value if isinstance(value, tuple | list) else (value,)))
        except (struct.error, TypeError, OverflowError) as error:
            data = raw_bytes(value, self.size, f"'{self._struct.format}'")
            if data is None:
                raise EncodingError(f"{shown(value)} is not '{self._struct.format}': {error}") from None
            return data

    def decode(self, data: Buffer, at: int = 0) -> Any:
        """The value or the tuple at `at`."""
        try:
            values = self._struct.unpack_from(data, at)
        except struct.error:
            raise too_short(f"'{self._struct.format}'", self.size, data, at) from None
        return values[0] if self._is_single else values


def aligned(size: int) -> int:
    """The bytes of one CPU's value with what fills it up."""
    return -(-size // PER_CPU_ALIGNMENT) * PER_CPU_ALIGNMENT


def given_codec(kind: Any, size: int | None, types: Btf | None) -> Codec[Any]:
    """What `Map.typed()` is given, as a codec of values of `size` bytes (None: of any size).

    `kind` is `int`, `bytes`, a ctypes class, the name of a type of the object (`struct event`), a format of struct
    or a Struct of it, or a codec. Raises EncodingError.
    """
    codec = _given(kind, size, types)
    if size is not None and codec.size != size:
        raise EncodingError(f"{shown(kind)} has {codec.size} bytes, where the map has {size}")
    return codec


def _given(kind: Any, size: int | None, types: Btf | None) -> Codec[Any]:
    if kind is bytes:
        return Raw(size or 0)
    if kind is int:
        return integer(size or 8, HOST_ORDER, "int", is_signed=False)
    if isinstance(kind, type) and hasattr(kind, "from_buffer_copy"):
        return CData(kind)
    if isinstance(kind, struct.Struct):
        return Format(kind)
    if isinstance(kind, str):
        type_id = find_type(types, kind) if types is not None else 0
        if types is not None and type_id:
            return codec_of(types, type_id)
        try:
            return Format(struct.Struct(kind))
        except struct.error:
            where = "this map's object has no types" if types is None else "no type of the object is called so"
            raise EncodingError(f"'{kind}' is no format of struct, and {where}") from None
    if hasattr(kind, "encode") and hasattr(kind, "decode") and hasattr(kind, "size"):
        codec: Codec[Any] = kind
        return codec
    raise EncodingError(
        f"{shown(kind)} says nothing of how values are: give int, bytes, a ctypes class, a format of struct or "
        "the name of a type"
    )


def key_codec(spec: MapSpec, types: Btf | None) -> Codec[Any]:
    """How the keys of a map are given."""
    if spec.map_type in STORAGE_MAP_TYPES and spec.key_size == 4:
        return Descriptor(4)
    typed = _typed(types, spec.key_type, spec.key_size)
    if typed is not None:
        return typed
    if spec.map_type in _NUMBERED and spec.key_size == 4:
        return integer(4, HOST_ORDER, "index", is_signed=False)
    return Raw(spec.key_size, remedy=_GIVE_TYPES)


def value_codec(spec: MapSpec, types: Btf | None) -> Codec[Any]:
    """How the values of a map are given, those of a per-CPU map one CPU's."""
    if spec.map_type in _HOLDING_DESCRIPTORS and spec.value_size in (4, 8):
        return Descriptor(spec.value_size)
    if spec.map_type in _REDIRECTIONS:
        name = _REDIRECTIONS[spec.map_type]  # type: ignore[index]
        number = integer(4, HOST_ORDER, name, is_signed=False)
        if spec.value_size == 4:
            return number
        if spec.value_size == 8:
            return Struct(name, 8, [Slot(name, 0, number), Slot("program", 4, Descriptor(4))], HOST_ORDER)
    if spec.map_type == MapType.STACK_TRACE and not spec.map_flags & MapFlag.STACK_BUILD_ID:
        return Format(struct.Struct(f"={spec.value_size // 8}Q{spec.value_size % 8}x"))
    if spec.section == KCONFIG_SECTION and types is not None and (found := _kconfig_codec(spec, types)):
        return found
    return _typed(types, spec.value_type, spec.value_size) or Raw(spec.value_size, remedy=_GIVE_TYPES)


def _kconfig_codec(spec: MapSpec, types: Btf) -> Codec[Any] | None:
    """The value of `.kconfig`, of which the object's types do not say where its variables lie."""
    try:
        slots = [Slot(each.name, each.offset, codec_of(types, each.type_id)) for each in spec.variables]
    except EncodingError:
        return None
    return Struct(spec.section, spec.value_size, slots, HOST_ORDER)


def event_codec(spec: MapSpec, types: Btf | None) -> Codec[Any] | None:
    """How the records of a ring buffer are, None where its definition does not say."""
    if types is None or not spec.value_type:
        return None
    try:
        return codec_of(types, spec.value_type)
    except EncodingError:
        return None


def _typed(types: Btf | None, type_id: int, size: int) -> Codec[Any] | None:
    """The codec of a type, None where there is none or it is one without values."""
    if types is None or not type_id or types.order is not HOST_ORDER:
        return None
    try:
        codec = codec_of(types, type_id)
    except EncodingError:
        return None
    return codec if codec.size == size else None
