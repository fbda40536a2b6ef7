"""The steps that make the maps of an Image: created, filled, frozen, and their slots filled.

What a map is like on one machine only (a page's size, the number of processors, the kernel's configuration, where
an arena lies, how long the kernel's structs are) is asked of the kernel or of the context when the program runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.cells import BTF, inner_cell, map_cell, program_cell
from bpfas.loader.gen.loader_program import FactKind
from bpfas.loader.gen.lookups import find_value_struct
from bpfas.loader.gen.plain_maps import takes_types
from bpfas.loader.gen.script import Address, Call, Cell, Close, Fill, Item, Need, Require, UnlessGiven
from bpfas.loader.kinds import MAP_TYPES_WITHOUT_BTF, RING_BUFFER_MAP_TYPES, MapFlag, MapType
from bpfas.loader.spec import Pinning
from bpfas.loader.syscall.bpf import Command
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bpfas.loader.gen.layout import Inputs
    from bpfas.loader.gen.options import GenOptions
    from bpfas.loader.gen.script import Input, Step, Value
    from bpfas.loader.spec import Image, MapSpec

SMALLEST_PAGE, LARGEST_PAGE = 1 << 12, 1 << 16
"""Bytes of a page, by machine. The size of a ring buffer is a multiple of it."""

PROCESSORS_IF_NOT_TOLD = 8192
"""Entries of a map with one for each processor: as many as a kernel can be built for."""

_TYPES = ("btf_fd", "btf_key_type_id", "btf_value_type_id")
_FIRST_KEY = Item("key 0", bytes(4))


class MapSteps:
    """The steps for maps. `hashes` are those of the only programs that may use a map, by the map's name."""

    def __init__(
        self, image: Image, inputs: Inputs, options: GenOptions, hashes: Mapping[str, bytes], kconfig: bytes | None
    ) -> None:
        self.image = image
        self.inputs = inputs
        self.options = options
        self.hashes = hashes
        self.kconfig = kconfig
        """The value of the map `.kconfig`, None for what the context has to give."""

    def create(self, spec: MapSpec, value_sizes: Mapping[str, int]) -> Iterator[Step]:
        """The steps that make one map; those of struct_ops have the size in `value_sizes`, if it is known."""
        steps: list[Step] = []
        inner = inner_cell(spec.name) if spec.inner else None
        if spec.inner and inner:
            steps.append(self._create(spec.inner, f"inner map of {spec.name}", inner, None, {}))
        steps += self._needs(spec)
        steps.append(self._create(spec, f"map {spec.name}", map_cell(spec.name), inner, value_sizes))
        if inner:
            steps.append(Close(inner))
        steps += (*self._fill(spec), *self._freeze(spec))
        if self._can_be_given(spec):
            yield UnlessGiven(self.inputs.map_fd(spec.name), map_cell(spec.name), tuple(steps))
        else:
            yield from steps

    def fill_slots(self, spec: MapSpec) -> Iterator[Step]:
        """The steps that put other maps, or programs, into one map."""
        is_of_programs = spec.map_type == MapType.PROG_ARRAY
        for slot in spec.slots:
            cell = program_cell(slot.name) if is_of_programs else map_cell(slot.name)
            key = slot.index.to_bytes(4, self.image.byte_order.name_for_int)
            update = Call(
                f"map {spec.name}[{slot.index}]",
                Command.MAP_UPDATE_ELEM,
                (
                    ("map_fd", map_cell(spec.name)),
                    ("key", Address(Item(f"key {slot.index}", key))),
                    ("value", Address(cell)),
                ),
            )
            step: Step = update
            if is_of_programs:
                step = UnlessGiven(self.inputs.program_fd(slot.name), None, (step,))
            yield UnlessGiven(self.inputs.map_fd(spec.name), None, (step,)) if self._can_be_given(spec) else step

    def _can_be_given(self, spec: MapSpec) -> bool:
        """Whether another map may take its place: a signature is for its contents, too, unless it is pinned."""
        return self.options.scheme is None or bool(spec.pin_path) or spec.pinning is not Pinning.NONE

    def _needs(self, spec: MapSpec) -> Iterator[Step]:
        """What the context, or the kernel, must have for a map."""
        if spec.section == KCONFIG_SECTION and self.kconfig is None:
            yield Need(f"values of {KCONFIG_SECTION}", self.inputs.map_contents(spec.name))
        if spec.map_type == MapType.ARENA and not spec.map_extra:
            address = self.inputs.fact(FactKind.ARENA_ADDRESS, spec.name)
            assert address is not None
            yield Need(f"address of {spec.name}", address)
        if spec.struct_ops:
            found = find_value_struct(spec.struct_ops)
            yield Require(f"struct {found.name} of map {spec.name}", found)
        size = self.inputs.fact(FactKind.VALUE_SIZE, spec.name)
        if size:
            yield Need(f"size of {spec.name} in the kernel", size)

    def _create(
        self, spec: MapSpec, subject: str, result: Cell, inner: Cell | None, value_sizes: Mapping[str, int]
    ) -> Call:
        entries, doublings = spec.max_entries, 0
        if spec.map_type in RING_BUFFER_MAP_TYPES and entries:
            # A power of two, and whole pages.
            entries = max(SMALLEST_PAGE, 1 << (entries - 1).bit_length())
            doublings = max(0, LARGEST_PAGE.bit_length() - entries.bit_length())
        is_per_processor = spec.map_type == MapType.PERF_EVENT_ARRAY and not entries
        fields: dict[str, Value] = {
            "map_type": spec.map_type,
            "key_size": spec.key_size,
            "value_size": spec.value_size,
            "max_entries": PROCESSORS_IF_NOT_TOLD if is_per_processor else entries,
            "map_flags": spec.map_flags,
            "inner_map_fd": inner or 0,
            "numa_node": spec.numa_node,
            "map_name": spec.kernel_name.encode(),
            "map_ifindex": spec.ifindex,
            "map_extra": spec.map_extra,
        }
        has_types = (spec.key_type or spec.value_type) and spec.map_type not in MAP_TYPES_WITHOUT_BTF
        if spec.struct_ops:
            fields |= self._of_struct_ops(spec, value_sizes)
        elif has_types and self.image.kernel_btf is not None:
            fields |= {"btf_fd": BTF, "btf_key_type_id": spec.key_type, "btf_value_type_id": spec.value_type}
        is_template = result != map_cell(spec.name)
        overrides = []
        if not is_template and (self.options.scheme is None or is_per_processor):
            overrides.append(("max_entries", self.inputs.map_entries(spec.name)))
        address = self.inputs.fact(FactKind.ARENA_ADDRESS, spec.name)
        if address and not is_template:
            overrides.append(("map_extra", address))
        if digest := self.hashes.get(spec.name):
            fields |= {
                "excl_prog_hash": Address(Item(f"hash of {spec.exclusive_program}", digest)),
                "excl_prog_hash_size": len(digest),
            }
        flags_if: list[tuple[str, Cell | Input, int]] = []
        token = self.inputs.fact(FactKind.TOKEN)
        if token:
            fields["map_token_fd"] = token
            flags_if.append(("map_flags", token, MapFlag.TOKEN_FD))
        if spec.struct_ops:
            owner = fields["value_type_btf_obj_fd"]
            assert isinstance(owner, Cell)
            flags_if.append(("map_flags", owner, MapFlag.VTYPE_BTF_OBJ_FD))
        return Call(
            subject,
            Command.MAP_CREATE,
            tuple(fields.items()),
            result,
            tuple(overrides),
            tuple(flags_if),
            _TYPES if "btf_key_type_id" in fields and not self._takes_types(spec) else (),
            "max_entries" if doublings else "",
            doublings,
        )

    def _takes_types(self, spec: MapSpec) -> bool:
        types = self.image.types
        return types is not None and takes_types(spec, types)

    def _of_struct_ops(self, spec: MapSpec, value_sizes: Mapping[str, int]) -> dict[str, Value]:
        assert spec.struct_ops is not None
        found = find_value_struct(spec.struct_ops)
        size = self.inputs.fact(FactKind.VALUE_SIZE, spec.name)
        return {
            "value_size": size or value_sizes[spec.name],
            "btf_fd": BTF,
            "btf_vmlinux_value_type_id": found.type_id,
            "value_type_btf_obj_fd": found.owner,
        }

    def _fill(self, spec: MapSpec) -> Iterator[Step]:
        contents = spec.contents
        if spec.section == KCONFIG_SECTION:
            contents = bytes(spec.value_size) if self.kconfig is None else self.kconfig
        if spec.struct_ops or spec.map_type == MapType.ARENA:
            return
        if contents is None and spec.section and self.options.scheme is None:
            # Whoever runs the program may give others, as those do who use libbpf's header.
            contents = bytes(spec.value_size)
        if contents is None:
            return
        item = Item(f"contents of {spec.name}", contents)
        if self.options.scheme is None:
            yield Fill(f"contents of {spec.name}", item, self.inputs.map_contents(spec.name))
        yield Call(
            f"map {spec.name}",
            Command.MAP_UPDATE_ELEM,
            (("map_fd", map_cell(spec.name)), ("key", Address(_FIRST_KEY)), ("value", Address(item))),
        )

    def _freeze(self, spec: MapSpec) -> Iterator[Step]:
        if spec.frozen:
            yield Call(f"map {spec.name}", Command.MAP_FREEZE, (("map_fd", map_cell(spec.name)),))
