"""The kernel of the simulated machine: bpf(2) and the helpers that loader programs call, with a record of it all.

Nothing is verified or run here; what is checked is what makes bpf() fail or succeed for reasons that a loader
program has in its hands: descriptors that are open and of the right kind, addresses that can be read, attributes
that a command has, maps that are not frozen, names that exist. A call can be told to fail. What is recorded has
names for descriptors (`map counts`, `program p`, `btf`, `module m`), so that loaders can be compared that number
them differently. Facts: kernel/bpf/syscall.c, kernel/bpf/btf.c, kernel/bpf/verifier.c.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from tests.loader.gen.machine import attributes
from tests.loader.gen.machine import instructions as forms
from tests.loader.gen.machine.attributes import BadAttributes, Raw
from tests.loader.gen.machine.memory import Endian, MachineError, Memory, Pointer
from tests.loader.gen.machine.record import BpfCall, Closed, Descriptor, Loaded, Lookup, MapFacts, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.loader.gen.machine.memory import Region
    from tests.loader.gen.machine.record import Event, Record

    Register = int | Pointer | None

TRACE_PRINTK, PROBE_READ_KERNEL, COPY_FROM_USER = 6, 113, 148
SYS_BPF, BTF_FIND, SYS_CLOSE, KALLSYMS = 166, 167, 168, 179

STRUCT, TYPEDEF, FUNC, VAR = 4, 8, 12, 14
ARRAY, PROG_ARRAY, ARRAY_OF_MAPS, HASH_OF_MAPS, RINGBUF, USER_RINGBUF = 2, 3, 12, 13, 27, 31
HOLDS_MAPS = (ARRAY_OF_MAPS, HASH_OF_MAPS)
RING_BUFFERS = (RINGBUF, USER_RINGBUF)
LARGEST_PROGRAM = 1_000_000
LICENSE_SIZE = 128


class Kernel:
    """Descriptors, names, and what was called.

    `types` gives a type's id and its module (empty for vmlinux) by name and kind, `addresses` what kallsyms has.
    `failures` gives errnos by the number of a call of bpf(), counted from 1; `lookup_failures` by the name that is
    looked up. `last_fields` makes it an older kernel: the last field that it knows, by command.
    """

    def __init__(
        self,
        types: Mapping[tuple[str, int], tuple[int, str]] | None = None,
        addresses: Mapping[str, int] | None = None,
        *,
        failures: Mapping[int, int] | None = None,
        lookup_failures: Mapping[str, int] | None = None,
        last_fields: Mapping[int, str] | None = None,
        first_descriptor: int = 3,
        page_size: int = 4096,
    ) -> None:
        self.types = dict(types or {})
        self.addresses = dict(addresses or {})
        self.failures = dict(failures or {})
        self.lookup_failures = dict(lookup_failures or {})
        self.last_fields = dict(last_fields or {})
        self.first_descriptor = first_descriptor
        self.page_size = page_size
        self.open: dict[int, Descriptor] = {}
        self.events: list[Event] = []
        self.printed: list[str] = []
        self.used_names: dict[str, int] = {}
        self.endian: Endian = "little"
        self.memory = Memory()
        self._commands = {
            attributes.MAP_CREATE: self._map_create,
            attributes.MAP_UPDATE_ELEM: self._map_update,
            attributes.MAP_FREEZE: self._map_freeze,
            attributes.PROG_LOAD: self._prog_load,
            attributes.BTF_LOAD: self._btf_load,
        }

    # what a test asks

    @property
    def calls(self) -> list[BpfCall]:
        """The calls of bpf(), failed ones as well."""
        return [event for event in self.events if isinstance(event, BpfCall)]

    @property
    def open_names(self) -> list[str]:
        """What is open, by name, in the order of descriptors."""
        return [str(self.open[number]) for number in sorted(self.open)]

    def name_of(self, descriptor: int) -> str:
        """What an open descriptor is of; `nothing` for one that is not open."""
        return str(self.open[descriptor]) if descriptor in self.open else "nothing"

    def give(self, kind: str, name: str, facts: MapFacts | None = None) -> int:
        """Open something that was there before the program runs."""
        return self._new(Descriptor(kind, name, facts))

    # helpers

    def helper(self, number: int, registers: list[Register], memory: Memory, endian: Endian) -> int:
        """Call a helper with r1 to r5."""
        self.memory, self.endian = memory, endian
        match number:
            case 6:
                return self._trace_printk(registers)
            case 113 | 148:
                return self._copy(registers, from_user=number == COPY_FROM_USER)
            case 166:
                return self._sys_bpf(registers)
            case 167:
                return self._btf_find(registers)
            case 168:
                return self._close(_number(registers, 1))
            case 179:
                return self._kallsyms(registers)
        raise MachineError(f"helper {number} is none that loader programs call")

    def _trace_printk(self, registers: list[Register]) -> int:
        size = _number(registers, 2)
        text = self._buffer(registers, 1, size).rstrip(b"\0").decode()
        self.printed.append(text)
        return len(text)

    def _copy(self, registers: list[Register], *, from_user: bool) -> int:
        size = _number(registers, 2)
        target = _pointer(registers, 1)
        source = registers[2]
        if source is None:
            raise MachineError("a helper is given r3, which has no value")
        if not size:
            return 0 if from_user else -errno.ERANGE
        address = source.address if isinstance(source, Pointer) else source
        data = self.memory.user_bytes(address, size) if from_user else self.memory.kernel_bytes(address, size)
        target.region.write(target.offset, bytes(size) if data is None else data)
        return -errno.EFAULT if data is None else 0

    def _btf_find(self, registers: list[Register]) -> int:
        size, kind, flags = (_number(registers, number) for number in (2, 3, 4))
        name = self._name(registers, size)
        if flags or name is None:
            return -errno.EINVAL
        entry = self.types.get((name, kind))
        if name in self.lookup_failures:
            result = -self.lookup_failures[name]
        elif entry is None:
            result = -errno.ENOENT
        else:
            type_id, module = entry
            result = type_id
            if module:
                result |= self._new(Descriptor("module", module)) << 32
        self.events.append(Lookup(name, kind, result & 0xFFFFFFFF if result > 0 else result))
        return result

    def _kallsyms(self, registers: list[Register]) -> int:
        size, flags = _number(registers, 2), _number(registers, 3)
        target = _pointer(registers, 4)
        if (target.region.base + target.offset) % 8:
            raise MachineError("kallsyms_lookup_name is given a place that is not a multiple of 8")
        name = self._name(registers, size)
        target.region.write(target.offset, bytes(8))
        if flags or name is None:
            return -errno.EINVAL
        address = self.addresses.get(name, 0)
        result = 0 if address else -errno.ENOENT
        if name in self.lookup_failures:
            result, address = -self.lookup_failures[name], 0
        target.region.write(target.offset, address.to_bytes(8, self.endian))
        self.events.append(Lookup(name, 0, result))
        return result

    def _close(self, descriptor: int) -> int:
        # The helper takes 32 bits of its argument.
        descriptor &= 0xFFFFFFFF
        if descriptor < self.first_descriptor:
            raise MachineError(f"closes descriptor {descriptor}, which is not the program's")
        if descriptor not in self.open:
            return -errno.EBADF
        self.events.append(Closed(str(self.open.pop(descriptor))))
        return 0

    def _buffer(self, registers: list[Register], number: int, size: int) -> bytes:
        pointer = _pointer(registers, number)
        if not 0 < size < 1 << 29:
            raise MachineError(f"a helper is given {size} bytes in r{number}")
        return pointer.region.read(pointer.offset, size)

    def _name(self, registers: list[Register], size: int) -> str | None:
        """A helper's name in r1 with its NUL; None for what the kernel does not take."""
        data = self._buffer(registers, 1, size)
        if size <= 1 or data[-1]:
            return None
        return data.partition(b"\0")[0].decode()

    # bpf(2)

    def _sys_bpf(self, registers: list[Register]) -> int:
        # The helper takes 32 bits of its first and last argument.
        command, size = _number(registers, 1) & 0xFFFFFFFF, _number(registers, 3) & 0xFFFFFFFF
        if command >> 31 & 1:  # which is how programs leave calls out
            return -errno.EINVAL
        data = self._buffer(registers, 2, size)
        return self.bpf(command, data)

    def bpf(self, command: int, data: bytes) -> int:
        """bpf(command, attributes) as a program calls it: a descriptor, 0, or an errno below 0."""
        if command not in self._commands:
            self.events.append(Refused(command))
            return -errno.EINVAL
        name = attributes.COMMAND_NAMES[command]
        recorded: dict[str, Record] = {}
        try:
            raw = attributes.decode(command, data, self.endian, self.last_fields.get(command, ""))
            injected = self.failures.get(len(self.calls) + 1)
            recorded |= {key: value for key, value in raw.items() if value}
            result = self._commands[command](raw, recorded, injected)
        except BadAttributes as problem:
            followed = {key: value for key, value in recorded.items() if not _is_address(key, value)}
            self.events.append(BpfCall(name, followed, "", problem.code))
            return -problem.code
        self.events.append(BpfCall(name, recorded, self.name_of(result) if result else ""))
        return result

    def _map_create(self, raw: Raw, recorded: dict[str, Record], injected: int | None) -> int:
        facts = MapFacts(*(_int(raw, name) for name in ("map_type", "key_size", "value_size", "max_entries")))
        self._follow(raw, recorded, "excl_prog_hash", _int(raw, "excl_prog_hash_size"))
        self._descriptor(raw, recorded, "map_token_fd", "token")
        if facts.map_type in HOLDS_MAPS:
            self._descriptor(raw, recorded, "inner_map_fd", "map", is_required=True)
        if raw["btf_key_type_id"] or raw["btf_value_type_id"] or raw["btf_vmlinux_value_type_id"]:
            self._descriptor(raw, recorded, "btf_fd", "btf", is_required=True)
        elif raw["btf_fd"]:
            self._descriptor(raw, recorded, "btf_fd", "btf")
        self._descriptor(raw, recorded, "value_type_btf_obj_fd", "module")
        _fail(injected)
        if facts.map_type in RING_BUFFERS and not _is_ring(facts.max_entries, self.page_size):
            raise BadAttributes(errno.EINVAL)
        if facts.map_type in (ARRAY, PROG_ARRAY, *HOLDS_MAPS) and not facts.max_entries:
            raise BadAttributes(errno.EINVAL)
        return self._new(Descriptor("map", self._unused_name(str(raw["map_name"])), facts))

    def _map_update(self, raw: Raw, recorded: dict[str, Record], injected: int | None) -> int:
        found = self._descriptor(raw, recorded, "map_fd", "map", is_required=True)
        facts = found.facts if found else None
        if found is None or facts is None:
            raise BadAttributes(errno.EBADF)
        key = self._follow(raw, recorded, "key", facts.key_size)
        recorded["key"] = int.from_bytes(key, self.endian)
        value = self._follow(raw, recorded, "value", facts.value_size)
        if held := {PROG_ARRAY: "program", ARRAY_OF_MAPS: "map", HASH_OF_MAPS: "map"}.get(facts.map_type):
            inside: Raw = {"value": int.from_bytes(value, self.endian)}
            self._descriptor(inside, recorded, "value", held, is_required=True)
        _fail(injected)
        if found.is_frozen:
            raise BadAttributes(errno.EPERM)
        return 0

    def _map_freeze(self, raw: Raw, recorded: dict[str, Record], injected: int | None) -> int:
        found = self._descriptor(raw, recorded, "map_fd", "map", is_required=True)
        _fail(injected)
        if found is None or found.is_frozen:
            raise BadAttributes(errno.EBUSY)
        found.is_frozen = True
        return 0

    def _btf_load(self, raw: Raw, recorded: dict[str, Record], injected: int | None) -> int:
        data = self._follow(raw, recorded, "btf", _int(raw, "btf_size"))
        self._descriptor(raw, recorded, "btf_token_fd", "token")
        _fail(injected)
        if data[:2] != (b"\x9f\xeb" if self.endian == "little" else b"\xeb\x9f"):
            raise BadAttributes(errno.EINVAL)
        return self._new(Descriptor("btf", self._unused_name("", "btf")))

    def _prog_load(self, raw: Raw, recorded: dict[str, Record], injected: int | None) -> int:
        count = _int(raw, "insn_cnt")
        if not 0 < count <= LARGEST_PROGRAM:
            raise BadAttributes(errno.E2BIG)
        code = forms.decode(self._follow(raw, {}, "insns", 8 * count), self.endian)
        text = self.memory.kernel_string(_int(raw, "license"), LICENSE_SIZE)
        if text is None:
            raise BadAttributes(errno.EFAULT)
        recorded["license"] = text
        for records in ("func_info", "line_info", "core_relo"):
            pointer = "core_relos" if records == "core_relo" else records
            self._records(raw, recorded, pointer, f"{records}_rec_size", f"{records}_cnt")
        has_types = bool(recorded.get("func_info") or recorded.get("line_info"))
        self._descriptor(raw, recorded, "prog_btf_fd", "btf", is_required=has_types)
        self._descriptor(raw, recorded, "prog_token_fd", "token")
        self._descriptor(raw, recorded, "attach_btf_obj_fd", "module", "program", "btf")
        recorded.pop("fd_array", None)
        recorded["insns"] = tuple(self._loaded(code, _int(raw, "fd_array")))
        _fail(injected)
        return self._new(Descriptor("program", self._unused_name(str(raw["prog_name"]))))

    def _loaded(self, code: list[forms.Instruction], table: int) -> Iterable[Loaded]:
        """Instructions with names for descriptors; raises BadAttributes for what is not open."""
        second: Loaded | None = None
        for index, here in enumerate(code):
            if second is not None:
                yield second
                second = None
                continue
            off: int | str = here.off
            imm: int | str = here.imm
            if here.is_wide:
                high: int | str = code[index + 1].imm
                if here.src in (forms.SRC_MAP_FD, forms.SRC_MAP_VALUE):
                    imm = self._open(here.imm, "map")
                elif here.src in (forms.SRC_MAP_INDEX, forms.SRC_MAP_INDEX_VALUE):
                    imm = self._open(self._entry(table, here.imm), "map")
                elif here.src == forms.SRC_BTF_ID:
                    high = self._open(code[index + 1].imm, "module") if code[index + 1].imm else 0
                    self._must_exist(here.imm, str(high) if high else "", (VAR, FUNC))
                second = Loaded(*code[index + 1][:4], imm=high)
            elif here.code == forms.CALL and here.src == forms.CALL_KERNEL:
                off = self._open(self._entry(table, here.off), "module") if here.off else 0
                if here.imm or here.off:
                    self._must_exist(here.imm, str(off) if off else "", (FUNC,))
            yield Loaded(here.code, here.dst, here.src, off, imm)

    def _must_exist(self, type_id: int, owner: str, kinds: tuple[int, ...]) -> None:
        module = owner.removeprefix("module ")
        if not any(entry == (type_id, module) and kind in kinds for (_, kind), entry in self.types.items()):
            raise BadAttributes(errno.EINVAL)

    def _entry(self, table: int, index: int) -> int:
        """An entry of fd_array."""
        data = self.memory.kernel_bytes(table + 4 * index, 4) if table and index >= 0 else None
        if data is None:
            raise BadAttributes(errno.EFAULT)
        return int.from_bytes(data, self.endian, signed=True)

    def _records(self, raw: Raw, recorded: dict[str, Record], pointer: str, size: str, count: str) -> None:
        data = self._follow(raw, {}, pointer, _int(raw, size) * _int(raw, count))
        words = _int(raw, size) // 4
        if not data:
            recorded.pop(pointer, None)
            return
        order = "<" if self.endian == "little" else ">"
        recorded[pointer] = tuple(struct.iter_unpack(f"{order}{words}I", data))

    def _follow(self, raw: Raw, recorded: dict[str, Record], name: str, size: int) -> bytes:
        """The bytes that an attribute points to, which are recorded; none where the kernel does not look."""
        if not size:
            return b""
        data = self.memory.kernel_bytes(_int(raw, name), size)
        if data is None:
            raise BadAttributes(errno.EFAULT)
        recorded[name] = data
        return data

    def _descriptor(
        self, raw: Raw, recorded: dict[str, Record], name: str, *kinds: str, is_required: bool = False
    ) -> Descriptor | None:
        """The open descriptor in an attribute, recorded by its name; 0 stands for none unless it is required."""
        number = _int(raw, name)
        if not number and not is_required:
            return None
        recorded[name] = self._open(number, *kinds)
        return self.open[number]

    def _open(self, number: int, *kinds: str) -> str:
        found = self.open.get(number)
        if found is None:
            raise BadAttributes(errno.EBADF)
        if found.kind not in kinds:
            raise BadAttributes(errno.EINVAL)
        return str(found)

    def _unused_name(self, name: str, kind: str = "") -> str:
        """A name with `#2`, `#3` … where it was used before."""
        key = f"{kind} {name}"
        self.used_names[key] = self.used_names.get(key, 0) + 1
        return name if self.used_names[key] == 1 else f"{name}#{self.used_names[key]}"

    def _new(self, descriptor: Descriptor) -> int:
        number = self.first_descriptor
        while number in self.open:
            number += 1
        self.open[number] = descriptor
        return number


def _int(raw: Raw, name: str) -> int:
    value = raw[name]
    assert isinstance(value, int)
    return value


def _is_address(name: str, value: Record) -> bool:
    """Whether a pointer was not followed before the kernel gave up."""
    return name in attributes.POINTERS and isinstance(value, int)


def _fail(injected: int | None) -> None:
    if injected is not None:
        raise BadAttributes(injected)


def _is_ring(size: int, page_size: int) -> bool:
    return size > 0 and size % page_size == 0 and not size & (size - 1)


def _number(registers: list[Register], number: int) -> int:
    value = registers[number - 1]
    if value is None:
        raise MachineError(f"a helper is given r{number}, which has no value")
    if isinstance(value, Pointer):
        raise MachineError(f"a helper is given a pointer to {value.region.name} in r{number}, and wants a number")
    return value


def _pointer(registers: list[Register], number: int) -> Pointer:
    value = registers[number - 1]
    if not isinstance(value, Pointer):
        raise MachineError(f"a helper is given {value} in r{number}, and wants a pointer")
    region: Region = value.region
    if region.strict and value.offset:
        raise MachineError(f"a helper is given a pointer into {region.name}")
    return value
